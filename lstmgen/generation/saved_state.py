"""Save and load a prompt state, so that a long prompt is read once and continued many times.

It is a safetensors file, so it contains no code. It only works with the weights that wrote it.
"""

import json
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from lstmgen.errors import CheckpointError, unwritable
from lstmgen.files import new_file
from lstmgen.generation.engine import PromptState, in_numpy
from lstmgen.network.architecture import Network, map_state

RECENT = 1000
"""How many of the last tokens to save, for filters that look back at them."""

_FORMAT = "lstmgen state 1"


def save_prompt_state(prompt_state: PromptState, path: Path, model: str) -> None:
    """Write a prompt state to a new file; `model` is the fingerprint of the model that read the prompt.

    Raises CheckpointError if the file exists or cannot be written.
    """
    fields: list[NDArray[np.float32]] = []
    map_state(fields.append, in_numpy(prompt_state.state))
    tensors: dict[str, NDArray[Any]] = {f"state.{number}": field for number, field in enumerate(fields)}
    tensors["logits"] = prompt_state.logits
    tensors["text"] = np.asarray(prompt_state.text[-RECENT:], np.int64)
    content = save(tensors, {"format": _FORMAT, "model": json.dumps(model)})
    try:
        with new_file(path) as file:
            file.write(content)
    except OSError as error:
        exists = "the file exists and is never overwritten; choose another name"
        reason = exists if isinstance(error, FileExistsError) else unwritable(error)
        raise CheckpointError(f"`save_state` {path}: {reason}") from error


def load_prompt_state(path: Path, network: Network, model: str) -> PromptState:
    """Read what `save_prompt_state` wrote, for the network of the model with this fingerprint.

    Raises CheckpointError if the file cannot be read, is damaged, or was saved with another model.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
        if metadata.get("format") != _FORMAT:
            raise CheckpointError(f"`load_state` {path}: this version cannot read the file; save the state again")
        if metadata.get("model") != json.dumps(model):
            problem = "it was saved with another model; use that model, or save the state again"
            raise CheckpointError(f"`load_state` {path}: {problem}")
        numbers = count()
        expected = network.initial_state(1, np.zeros(0, np.float32))
        state = map_state(lambda zero: _checked(tensors[f"state.{next(numbers)}"], zero.shape, "f"), expected)
        logits = _checked(tensors["logits"], (1, network.vocab_size), "f")
        text = _checked(tensors["text"], (len(tensors["text"]),), "i")
        if not ((text >= 0) & (text < network.vocab_size)).all():
            raise ValueError("it contains unknown characters")
        return PromptState(logits, state, text)
    except OSError as error:
        reason = error.strerror or "cannot be read"  # errors from safetensors have no `strerror`, and repeat the path
        raise CheckpointError(f"`load_state` {path}: {reason}; give a file that `save_state` wrote") from error
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        problem = f"this is not a saved state, or it is damaged ({error}); give a file that `save_state` wrote"
        raise CheckpointError(f"`load_state` {path}: {problem}") from error


def _checked(array: NDArray[Any], shape: tuple[int, ...], kind: str) -> NDArray[Any]:
    if array.shape != shape or array.dtype.kind != kind or not np.isfinite(array).all():
        found = f"an array of shape {array.shape} and type {array.dtype}"
        raise ValueError(f"{found} instead of finite numbers of shape {shape}")
    return array
