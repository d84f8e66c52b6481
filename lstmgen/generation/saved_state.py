"""Where a text stands, as a file: a long prompt is read once and gone on from many times.

A safetensors file without code in it, bound to one model's weights.

Knows: states and files. Does not know: characters, or how the text goes on.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from lstmgen.errors import CheckpointError
from lstmgen.generation.engine import EngineOutput
from lstmgen.network.architecture import Network, map_state
from lstmgen.text.vocabulary import Ids

RECENT = 1000
"""How many of the last symbols are kept for filters that look back."""

_FORMAT = "lstmgen state 1"
_LIKE = np.zeros(0, np.float32)


@dataclass(frozen=True)
class PromptState:
    """What samples go on from."""

    output: EngineOutput  # one row, in NumPy
    text: Ids  # what has been read, (symbols,), or the last of it


def save_prompt_state(prompt_state: PromptState, path: Path, model: str) -> None:
    """Write a prompt state to a new file.

    Args:
        prompt_state: what to write.
        path: a file that does not exist.
        model: the fingerprint of the model that made it.

    Raises CheckpointError if the file exists or cannot be made.
    """
    fields: list[NDArray[np.float32]] = []
    map_state(fields.append, prompt_state.output.state)
    tensors: dict[str, NDArray[Any]] = {f"state.{number}": field for number, field in enumerate(fields)}
    tensors["logits"] = prompt_state.output.logits
    tensors["text"] = np.asarray(prompt_state.text[-RECENT:], np.int64)
    content = save(tensors, {"format": _FORMAT, "model": json.dumps(model)})
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError as error:
        raise CheckpointError(f"--save-state {path}: exists, and is not overwritten; give another name") from error
    except OSError as error:
        raise CheckpointError(f"--save-state {path}: {error.strerror}; give a file that can be made") from error


def load_prompt_state(path: Path, network: Network, model: str) -> PromptState:
    """Read a prompt state for a network.

    Raises CheckpointError if there is none, or if it is another model's.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
    except OSError as error:
        reason = error.strerror or "cannot be read"  # safetensors says it in other words, with the path in them
        raise CheckpointError(f"--load-state {path}: {reason}; name a file that --save-state wrote") from error
    except (SafetensorError, TypeError) as error:
        raise CheckpointError(f"--load-state {path}: not a saved state, or one cut short ({error})") from error
    if metadata.get("format") != _FORMAT:
        raise CheckpointError(f"--load-state {path}: not a state that this version reads; save it again")
    if metadata.get("model") != json.dumps(model):
        raise CheckpointError(f"--load-state {path}: saved with another model; name that one, or save it again")
    zeros = network.initial_state(1, _LIKE)
    names = iter(range(len(tensors)))
    try:
        state = map_state(lambda zero: _checked(tensors[f"state.{next(names)}"], zero.shape, "f"), zeros)
        logits = _checked(tensors["logits"], (1, network.vocab_size), "f")
        text = _checked(tensors["text"], (len(tensors["text"]),), "i")
        if not ((text >= 0) & (text < network.vocab_size)).all():
            raise ValueError("unknown symbols")
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"--load-state {path}: damaged ({error}); save it again") from error
    return PromptState(EngineOutput(logits, state), text)


def _checked(array: NDArray[Any], shape: tuple[int, ...], kind: str) -> NDArray[Any]:
    if array.shape != shape or array.dtype.kind != kind or not np.isfinite(array).all():
        raise ValueError(f"numbers of shape {array.shape} where {shape} belong")
    return array
