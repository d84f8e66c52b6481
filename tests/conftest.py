"""What several tests share: networks of every kind with random weights, and a small trained run."""

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

from lstmgen import benchmark
from lstmgen.config import CellKind, ModelConfig, Peephole, Reset
from lstmgen.generation.engine import NumpyEngine
from lstmgen.network.architecture import Network, build_network
from tests.browser import CHROMEDRIVER, CHROMIUM, Browser, browser

VOCAB_SIZE = 7

# Before torch is loaded: as many tests run at a time as there are processors, and threads that wait must not keep them.
os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}


# No test fails because a machine is slow.
settings.register_profile("lstmgen", deadline=None, max_examples=80)
settings.load_profile("lstmgen")


def pytest_configure(config: pytest.Config) -> None:
    """Let child processes start with default signals, even below `nohup` or in the background of a script.

    An ignored signal stays ignored in a child process. One that has a handler gets its default back.
    """
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is signal.SIG_IGN:
            signal.signal(getattr(signal, name), lambda *_: None)
    config.addinivalue_line("markers", "long: a costly test whose short form another test is; --long runs it")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="Run every test, as often as docs/SAFETY.md says.")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only `--long` runs."""
    if not config.getoption("--long"):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="--long runs it"))


@pytest.fixture
def trials(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """Choose how often a test tries: the first number, or with --long the second one."""
    long = bool(request.config.getoption("--long"))
    return lambda short, often: often if long else short


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder for the temporary files of large texts; never the user's."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LSTMGEN_CACHE", str(folder))
        yield folder


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Undo what a test says of torch's threads."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(scope="session")
def one_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser for all tests, because starting one takes long."""
    if not (CHROMEDRIVER and CHROMIUM):
        pytest.skip("no Chromium with its ChromeDriver")
    with browser(tmp_path_factory.mktemp("browser")) as window:
        yield window


@pytest.fixture
def window(one_browser: Browser) -> Iterator[Browser]:
    """A browser; a test that leaves complaints fails."""
    yield one_browser
    assert one_browser.complaints() == []


CELLS = {
    "rnn": ModelConfig(cell=CellKind.RNN),
    "lstm": ModelConfig(cell=CellKind.LSTM),
    "peephole": ModelConfig(cell=CellKind.PEEPHOLE),
    "peephole-input": ModelConfig(cell=CellKind.PEEPHOLE, peepholes=(Peephole.INPUT,)),
    "peephole-forget-output": ModelConfig(cell=CellKind.PEEPHOLE, peepholes=(Peephole.FORGET, Peephole.OUTPUT)),
    "coupled": ModelConfig(cell=CellKind.COUPLED),
    "gru-after": ModelConfig(cell=CellKind.GRU, reset=Reset.AFTER),
    "gru-before": ModelConfig(cell=CellKind.GRU, reset=Reset.BEFORE),
}
"""Every cell in every form, by a name for the test's output; sizes are the test's."""

NETWORKS = CELLS | {"lstm-tied": ModelConfig(tied=True)}
"""The same, and a network whose head is tied to its embedding."""


def form(config: ModelConfig) -> dict[str, Any]:
    """What makes a network of this kind, without its size."""
    return {name: getattr(config, name) for name in ("cell", "peepholes", "reset", "tied")}


def small_network(config: ModelConfig, *, attention: int = 0, num_layers: int = 2) -> Network:
    """A network of a few units."""
    small = ModelConfig(**form(config), hidden_size=5, num_layers=num_layers, embedding_size=3, attention=attention)
    return build_network(small, VOCAB_SIZE)


def random_weights(network: Network, seed: int = 0) -> dict[str, NDArray[np.float64]]:
    """Weights without a single zero, peepholes and biases included."""
    generator = np.random.default_rng(seed)
    return {name: generator.normal(0, 0.7, shape) for name, shape in network.shapes().items()}


def single(weights: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float32]]:
    """The same weights in the precision that checkpoints have."""
    return {name: array.astype(np.float32) for name, array in weights.items()}


def random_engine(name: str = "lstm", attention: int = 0) -> NumpyEngine:
    """An engine of a small network with random weights."""
    network = small_network(NETWORKS[name], attention=attention)
    return NumpyEngine(network, single(random_weights(network)))


FABLE = "A fox saw grapes on a vine. The fox leapt; the grapes hung high.\nThe fox left: sour, said the fox.\n"


@pytest.fixture(scope="session")
def trained_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `fable.txt` and one run, `checkpoints/fable`, that has learned a little of it."""
    from lstmgen.cli.app import main

    folder = tmp_path_factory.mktemp("trained")
    (folder / "fable.txt").write_text(FABLE * 20, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        command = "train fable.txt --run fable --steps 60 --hidden-size 24 --layers 1 --batch-size 8 --chunk-length 16"
        with pytest.raises(SystemExit) as ended:
            main([*command.split(), "--precision", "float32", "--quiet"])
    assert ended.value.code == 0
    return folder


@pytest.fixture
def in_trained_folder(trained_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in the folder with the trained run; a test must not change that run."""
    monkeypatch.chdir(trained_folder)
    return trained_folder


@pytest.fixture
def own_folder(trained_folder: Path, nowhere: Path) -> Path:
    """Work in a copy of the folder with the trained run, which a test may change."""
    shutil.copytree(trained_folder, nowhere, dirs_exist_ok=True)
    return nowhere


@pytest.fixture
def fable(nowhere: Path) -> Path:
    """Work in a folder with nothing but a text."""
    path = nowhere / "fable.txt"
    path.write_text(FABLE * 6, encoding="utf-8")
    return path


@pytest.fixture
def short_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `lstmgen bench` measure everything once; the numbers mean nothing then."""
    short = partial(benchmark.measure, effort=benchmark.Effort(rounds=1, round_seconds=0.0, peak_sizes=(64,)))
    monkeypatch.setattr(benchmark, "measure", short)
