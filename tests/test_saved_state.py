"""A saved state continues as if its prompt had just been read; any other file is refused in one line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from lstmgen.errors import CheckpointError
from lstmgen.generation.engine import NumpyEngine, PromptState, read_text
from lstmgen.generation.saved_state import RECENT, load_prompt_state, save_prompt_state
from lstmgen.network.architecture import Network
from tests.conftest import CELLS, VOCAB_SIZE, random_weights, single, small_network

MODEL = "fingerprint"


def a_prompt_state(name: str, tokens: int = 30) -> tuple[Network, NumpyEngine, PromptState]:
    network = small_network(CELLS[name], attention=3)
    engine = NumpyEngine(network, single(random_weights(network)))
    ids: NDArray[np.int64] = np.arange(tokens) % VOCAB_SIZE
    return network, engine, read_text(engine, ids, engine.initial_state(1))


@pytest.mark.parametrize("name", CELLS)
def test_a_saved_state_is_loaded_unchanged(name: str, tmp_path: Path) -> None:
    network, engine, prompt_state = a_prompt_state(name)
    save_prompt_state(prompt_state, tmp_path / "state", MODEL)
    loaded = load_prompt_state(tmp_path / "state", network, MODEL)
    assert (loaded.logits == prompt_state.logits).all()
    assert (loaded.text == prompt_state.text).all()
    ids = np.array([3])
    assert (engine.step(ids, loaded.state)[0] == engine.step(ids, prompt_state.state)[0]).all()


def test_only_the_last_tokens_of_a_long_prompt_are_saved(tmp_path: Path) -> None:
    network, _, prompt_state = a_prompt_state("lstm", tokens=RECENT + 500)
    save_prompt_state(prompt_state, tmp_path / "state", MODEL)
    assert (load_prompt_state(tmp_path / "state", network, MODEL).text == prompt_state.text[-RECENT:]).all()


def put(name: str, value: Any) -> Callable[[dict[str, Any], dict[str, str]], None]:
    return lambda tensors, _metadata: tensors.update({name: value})


DAMAGE: dict[str, Callable[[dict[str, Any], dict[str, str]], object]] = {
    "missing tensor": lambda tensors, _: tensors.pop("state.1"),
    "shape": put("logits", np.zeros((1, 2), np.float32)),
    "not finite": lambda tensors, _: tensors.update({"state.0": tensors["state.0"] * np.nan}),
    "token": put("text", np.array([0, VOCAB_SIZE])),
    "kind": put("text", np.zeros(3, np.float32)),
    "another model": lambda _, metadata: metadata.update(model='"another"'),
    "another format": lambda _, metadata: metadata.update(format="lstmgen state 2"),
    "no format": lambda _, metadata: metadata.clear(),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_state_and_one_of_another_model_are_refused(damage: str, tmp_path: Path) -> None:
    network, _, prompt_state = a_prompt_state("lstm")
    save_prompt_state(prompt_state, tmp_path / "state", MODEL)
    tensors, metadata = load_file(tmp_path / "state"), {"format": "lstmgen state 1", "model": f'"{MODEL}"'}
    save_file(tensors, tmp_path / "same", metadata)
    load_prompt_state(tmp_path / "same", network, MODEL)
    DAMAGE[damage](tensors, metadata)
    save_file(tensors, tmp_path / "damaged", metadata)
    with pytest.raises(CheckpointError, match="`load_state`") as refused:
        load_prompt_state(tmp_path / "damaged", network, MODEL)
    assert "\n" not in str(refused.value)


def test_what_is_no_state_is_refused(tmp_path: Path) -> None:
    network, _, _ = a_prompt_state("lstm")
    (tmp_path / "text").write_bytes(b"no state at all")
    for name in ("text", "missing", "."):
        with pytest.raises(CheckpointError, match="`load_state`"):
            load_prompt_state(tmp_path / name, network, MODEL)
