"""The results of a comparison: means over the seeds, which differences are real, and the JSON fields."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean, mean, median
from typing import Any

import numpy as np

from lstmgen.comparison.chance import margins_over_seeds, margins_over_text
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
    margin: float  # how much of it may be chance

    @property
    def low(self) -> float:
        """The lower end of the range of plausible differences."""
        return self.nats - self.margin

    @property
    def high(self) -> float:
        """The upper end of this range."""
        return self.nats + self.margin

    @property
    def real(self) -> bool:
        """Whether it is larger than chance explains."""
        return self.nats > self.margin


def differences(networks: Sequence[NetworkResult]) -> list[Difference] | None:
    """Compare each network with the best one; None: the text is too short to rule out chance.

    With several seeds, chance means the differences between seeds; with one seed, the choice of the held-out text.
    """
    margins = (
        margins_over_seeds([[run.nats_per_character for run in network.runs] for network in networks])
        if over_seeds(networks)
        else margins_over_text([network.runs[0].blocks for network in networks])
    )
    if margins is None:
        return None
    nats = np.array([network.nats_per_character for network in networks])
    best = nats.argmin()
    return [Difference(*pair) for pair in zip((nats - nats[best]).tolist(), margins[best].tolist(), strict=True)]


def over_seeds(networks: Sequence[NetworkResult]) -> bool:
    """Whether to judge differences by the variation between seeds."""
    return any(network.spread is not None for network in networks)


def network_results(measured: Sequence[Measured]) -> list[NetworkResult]:
    """The measured networks, in the order of the comparison."""
    models = {event.run.name: event.run.model for event in measured}
    return [
        network_result(name, model, [event.result for event in measured if event.run.name == name])
        for name, model in models.items()
    ]


def comparison_json(comparison: Comparison, measured: Sequence[Measured]) -> dict[str, Any]:
    """The comparison as values that JSON can hold."""
    networks = network_results(measured)
    found = differences(networks)
    return {
        "text": list(comparison.config.text.sources),
        "budget": {"amount": comparison.training.budget.amount, "unit": str(comparison.training.budget.unit)},
        "networks": [
            _network_json(network, found[number] if found else None) for number, network in enumerate(networks)
        ],
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
                "hidden_size": model.hidden_size,
                "lag": lag,
                "accuracy": mean(accuracies),
                "accuracies": accuracies,
                "accuracy_by_seed": accuracies,
                "chance": CHANCE,
                "longest_lag": min(run.longest_lag for run in runs),
                "updates_to_95": updates_needed(runs, lag),
                "gradient": median(run.gradient[lag] for run in runs),
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


def updates_needed(runs: Sequence[RecallMeasured], lag: int) -> int | None:
    """The number of updates until every seed had reached `HOLDS`; None if one never did."""
    return max(run.updates[lag] for run in runs) if all(lag in run.updates for run in runs) else None


def by_network(measured: Sequence[RecallMeasured]) -> list[tuple[ModelConfig, list[RecallMeasured]]]:
    """Group the runs by network; the runs of a network are consecutive."""
    return [(model, list(runs)) for model, runs in groupby(measured, key=lambda run: run.model)]
