"""The fields of the JSON of comparisons, on a text and by recall."""

from collections.abc import Sequence
from itertools import groupby
from statistics import mean
from typing import Any

from lstmgen.comparison.config import RecallConfig
from lstmgen.comparison.networks import Comparison, Measured
from lstmgen.comparison.recall import RecallMeasured
from lstmgen.comparison.recall_text import CHANCE
from lstmgen.comparison.summary import Difference, NetworkResult, best_of, difference
from lstmgen.config import ModelConfig


def network_results(measured: Sequence[Measured]) -> list[NetworkResult]:
    """The networks that have been measured, in the order of the comparison."""
    models = {event.run.name: event.run.model for event in measured}
    return [
        NetworkResult(name, model, tuple(event.result for event in measured if event.run.name == name))
        for name, model in models.items()
    ]


def comparison_json(comparison: Comparison, measured: Sequence[Measured]) -> dict[str, Any]:
    """The comparison as values that JSON can hold."""
    networks = network_results(measured)
    best = best_of(networks)
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
        "parameters": network.parameters,
        "seeds": len(network.runs),
        "nats_per_character": network.nats_per_character,
        "nats_per_character_by_seed": [run.nats_per_character for run in network.runs],
        "spread": network.spread,
        "behind_best": None if behind is None else {"nats": behind.nats, "low": behind.low, "high": behind.high},
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
