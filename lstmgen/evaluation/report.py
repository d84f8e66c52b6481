"""The fields of the JSON of an evaluation."""

import math
from typing import Any

from lstmgen.evaluation.confidence import LEVEL, RESAMPLES
from lstmgen.evaluation.evaluate import Evaluation, EvaluationResult
from lstmgen.evaluation.novelty import Copying
from lstmgen.evaluation.score import Score


def evaluation_json(evaluation: Evaluation) -> dict[str, Any]:
    """An evaluation as values that JSON can hold."""
    found = {"checkpoint": str(evaluation.checkpoint), "text": evaluation.text, **_result_json(evaluation.exact)}
    found["baselines"] = [
        {
            "name": baseline.name,
            "nats_per_character": baseline.nats_per_character,
            "bits_per_character": baseline.bits_per_character,
        }
        for baseline in evaluation.baselines
    ]
    found |= {name: _result_json(result) for name, result in evaluation.others.items()}
    if (novelty := evaluation.novelty) is not None:
        found["novelty"] = {
            "how": str(evaluation.writing),
            "longest_run": {"text": novelty.longest_run, "line": novelty.line},
            "written": _copying_json(novelty.written),
            "held_out": _copying_json(novelty.real) if novelty.real else None,
        }
    return found


def score_json(score: Score) -> dict[str, float]:
    """A score as values that JSON can hold."""
    return {
        "characters": score.characters,
        "nats_per_character": score.nats_per_character,
        "bits_per_character": score.bits_per_character,
        "perplexity": score.perplexity,
        "accuracy": score.accuracy,
    }


def _result_json(result: EvaluationResult) -> dict[str, Any]:
    interval = result.interval
    return {
        "protocol": result.protocol,
        **score_json(result.score),
        "confidence": interval
        and {
            "level": LEVEL,
            "nats_per_character": list(interval),
            "bits_per_character": [nats / math.log(2) for nats in interval],
            "method": "block bootstrap",
            "block_length": result.blocks.length,
            "resamples": RESAMPLES,
        },
    }


def _copying_json(copying: Copying) -> dict[str, Any]:
    return {
        "characters": copying.tokens,
        "longest_run": copying.longest,
        "found_in_training": {str(length): fraction for length, fraction in copying.fractions.items()},
        "lines_found_in_training": copying.lines,
    }
