"""What follows from a comparison: the mean of each network over its seeds, and which differences are real."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lstmgen.comparison.measurement import RunResult
from lstmgen.config import ModelConfig
from lstmgen.inspection.memory import memory_reach


@dataclass(frozen=True)
class NetworkResult:
    """One network with the results of its seeds."""

    name: str
    model: ModelConfig
    runs: tuple[RunResult, ...]

    @property
    def parameters(self) -> int:
        """The number of parameters."""
        return self.runs[0].parameters

    @property
    def nats_per_character(self) -> float:
        """The mean over the seeds."""
        return self._mean([run.nats_per_character for run in self.runs])

    @property
    def spread(self) -> float | None:
        """The standard deviation over the seeds, in nats per character; None: there is only one."""
        return float(np.std([run.nats_per_character for run in self.runs], ddof=1)) if len(self.runs) > 1 else None

    @property
    def training_speed(self) -> float:
        """Characters per second, mean over the seeds."""
        return self._mean([run.training_speed for run in self.runs])

    @property
    def sampling_speed(self) -> float:
        """Characters per second of one text, mean over the seeds."""
        return self._mean([run.sampling_speed for run in self.runs])

    @property
    def memory_reach(self) -> int:
        """That of the mean loss over the seeds."""
        means = np.mean([run.visible_nats for run in self.runs], axis=0)
        return memory_reach({2**power: float(nats) for power, nats in enumerate(means)})

    @staticmethod
    def _mean(values: Sequence[float]) -> float:
        return math.fsum(values) / len(values)


@dataclass(frozen=True)
class Difference:
    """How much worse a network is than the best one."""

    nats: float  # per character
    low: float  # the range in which the difference lies, given the chance that could be measured
    high: float
    over_seeds: bool  # whether the range is that of chance over the seeds; if not, over parts of the text

    @property
    def real(self) -> bool:
        """Whether it is larger than what chance explains."""
        return self.low > 0 or self.high < 0


def best_of(networks: Sequence[NetworkResult]) -> NetworkResult:
    """The network with the lowest nats per character."""
    return min(networks, key=lambda network: network.nats_per_character)


def difference(network: NetworkResult, best: NetworkResult) -> Difference | None:
    """Compare a network with the best one; None: there is too little to tell what is chance.

    With several seeds of both, a difference of less than two standard errors is noise. With one seed, it is noise if
    the confidence interval by the block bootstrap contains 0; this interval covers the text, and not the seed.
    """
    nats = network.nats_per_character - best.nats_per_character
    if network.spread is not None and best.spread is not None:
        error = math.hypot(network.spread / math.sqrt(len(network.runs)), best.spread / math.sqrt(len(best.runs)))
        return Difference(nats, nats - 2 * error, nats + 2 * error, over_seeds=True)
    interval = network.runs[0].blocks.interval(best.runs[0].blocks)
    return None if interval is None else Difference(nats, interval.low, interval.high, over_seeds=False)
