"""What follows from a comparison: means over the seeds, which differences are real, and the fields of JSON."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean, mean
from typing import Any

import numpy as np

from lstmgen.comparison.config import RecallConfig
from lstmgen.comparison.measurement import RunResult
from lstmgen.comparison.networks import Comparison, Measured
from lstmgen.comparison.recall import CHANCE, RecallMeasured
from lstmgen.config import ModelConfig
from lstmgen.inspection.memory import memory_reach


@dataclass(frozen=True)
class NetworkResult:
    """One network: means over its seeds."""

    name: str
    model: ModelConfig
    runs: tuple[RunResult, ...]  # one for each seed
    nats_per_character: float
    spread: float | None  # the standard deviation of the nats over the seeds; None: there is only one
    training_speed: float  # characters per second
    sampling_speed: float  # characters per second, of one text
    memory_reach: int  # how many tokens the network uses, by its mean loss


def network_result(name: str, model: ModelConfig, runs: Sequence[RunResult]) -> NetworkResult:
    """The means of one network over the runs of its seeds."""
    nats = [run.nats_per_character for run in runs]
    visible_nats = np.mean([run.visible_nats for run in runs], axis=0)
    return NetworkResult(
        name,
        model,
        tuple(runs),
        nats_per_character=fmean(nats),
        spread=float(np.std(nats, ddof=1)) if len(runs) > 1 else None,
        training_speed=fmean(run.training_speed for run in runs),
        sampling_speed=fmean(run.sampling_speed for run in runs),
        memory_reach=memory_reach({2**power: float(loss) for power, loss in enumerate(visible_nats)}),
    )


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


def difference(network: NetworkResult, best: NetworkResult) -> Difference | None:
    """Compare a network with the best one; None: there is too little to tell what is chance.

    With several seeds of both, a difference of less than two standard errors is noise. With one seed, the interval of
    the block bootstrap decides; it covers the text, and not the seed.
    """
    nats = network.nats_per_character - best.nats_per_character
    if network.spread is not None and best.spread is not None:
        error = math.hypot(network.spread / math.sqrt(len(network.runs)), best.spread / math.sqrt(len(best.runs)))
        return Difference(nats, nats - 2 * error, nats + 2 * error, over_seeds=True)
    interval = network.runs[0].blocks.interval(best.runs[0].blocks)
    return None if interval is None else Difference(nats, interval.low, interval.high, over_seeds=False)


def network_results(measured: Sequence[Measured]) -> list[NetworkResult]:
    """The networks that have been measured, in the order of the comparison."""
    models = {event.run.name: event.run.model for event in measured}
    return [
        network_result(name, model, [event.result for event in measured if event.run.name == name])
        for name, model in models.items()
    ]


def comparison_json(comparison: Comparison, measured: Sequence[Measured]) -> dict[str, Any]:
    """The comparison as values that JSON can hold."""
    networks = network_results(measured)
    best = min(networks, key=lambda network: network.nats_per_character)
    return {
        "text": list(comparison.config.text.sources),
        "budget": {"amount": comparison.training.budget.amount, "unit": str(comparison.training.budget.unit)},
        "networks": [_network_json(network, difference(network, best)) for network in networks],
    }


def _network_json(network: NetworkResult, behind: Difference | None) -> dict[str, Any]:
    return {
        "cell": str(network.model.cell),
        "attention": network.model.attention,
        "layers": network.model.num_layers,
        "hidden_size": network.model.hidden_size,
        "parameters": network.runs[0].parameters,
        "seeds": len(network.runs),
        "nats_per_character": network.nats_per_character,
        "nats_per_character_by_seed": [run.nats_per_character for run in network.runs],
        "spread": network.spread,
        "behind_best": behind and {"nats": behind.nats, "low": behind.low, "high": behind.high},
        "characters_per_second": network.training_speed,
        "sampling_characters_per_second": network.sampling_speed,
        "memory_reach": network.memory_reach,
    }


def recall_json(config: RecallConfig, measured: Sequence[RecallMeasured]) -> dict[str, Any]:
    """The comparison as values that JSON can hold."""
    return {
        "task": "recall",
        "budget": {"amount": config.budget.amount, "unit": str(config.budget.unit)},
        "networks": [
            {
                "cell": str(model.cell),
                "attention": model.attention,
                "lag": lag,
                "accuracy": mean(accuracies),
                "accuracy_by_seed": accuracies,
                "chance": CHANCE,
                "seeds": len(runs),
                "questions": config.questions * len(runs),
                "parameters": runs[0].parameters,
                "steps": mean(run.steps for run in runs),
                "seconds": mean(run.seconds for run in runs),
            }
            for model, runs in by_network(measured)
            for lag in config.lags
            if (accuracies := [run.accuracy[lag] for run in runs])
        ],
    }


def by_network(measured: Sequence[RecallMeasured]) -> list[tuple[ModelConfig, list[RecallMeasured]]]:
    """The runs of each network; those of one network follow each other."""
    return [(model, list(runs)) for model, runs in groupby(measured, key=lambda run: run.model)]
