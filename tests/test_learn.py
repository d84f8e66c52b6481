"""LEARN.md shows what its program makes: a short version of it runs here, on small untrained networks."""

import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from lstmgen.config import CellKind
from lstmgen.inspection.trace import trace
from tests import reference
from tests.command_line import done, run_of_text
from tests.conftest import CELLS, VOCAB_SIZE, random_weights, small_network

DOCS = Path(__file__).parent.parent / "docs"
LEARN = (DOCS / "LEARN.md").read_text(encoding="utf-8")
PAGES = (LEARN, (DOCS / "TRIALS.md").read_text(encoding="utf-8"))
PROGRAM = runpy.run_path(str(DOCS / "make_learn.py"))
QUOTES = 'The "if" and the "met" (hod).\n'


def options(command: str) -> dict[str, str]:
    """The options of a command with their values."""
    return dict(re.findall(r"--([\w-]+) (\S+)", command))


def test_the_blocks_are_those_that_are_made() -> None:
    names = [found[1] for page in PAGES for found in PROGRAM["MADE"].finditer(page)]
    assert sorted(names) == sorted(PROGRAM["BLOCKS"])
    assert sum(page.count("<!--") for page in PAGES) == len(names)


@pytest.mark.parametrize(("name", "made"), [found for page in PAGES for found in PROGRAM["MADE"].findall(page)])
def test_every_block_fits_80_columns(name: str, made: str) -> None:
    first, *lines, last = made.splitlines()
    assert (first, last) == ("```", "```") and lines, name
    assert max(map(len, lines)) <= 80


def test_the_prose_has_the_numbers_of_the_blocks() -> None:
    assert PROGRAM["contradicted"](LEARN) == []
    block = "<!-- made: x -->\n```\nkeeps 91% of -0.93 (2e-05)\n```\n"
    assert PROGRAM["contradicted"](f"{block}It keeps 91 % of -0.93, and 2e-05.") == []
    assert PROGRAM["contradicted"](f"{block}It keeps 92 % of -0.94, and 3e-05.") == ["92 %", "0.94", "3e-05"]


def test_the_page_trains_what_the_program_trains() -> None:
    commands = [line.strip() for line in LEARN.splitlines() if line.strip().startswith("lstmgen train --")]
    for name, own in PROGRAM["NETWORKS"].items():
        expected = options(f"{PROGRAM['RECIPE']} {own}")
        shown = [options(command.replace("$cell", name.removeprefix("learn-"))) for command in commands]
        assert name in ("learn-short", "learn-long", "learn-rnn-wide") or expected | {"run": name} in shown


def test_the_program_makes_every_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, command in PROGRAM["NETWORKS"].items():
        chosen = options(command)
        model: dict[str, Any] = {
            "cell": CellKind(chosen.get("cell", "lstm")),
            "attention": int(chosen.get("attention", 0)),
        }
        run_of_text(name, QUOTES * 110, **model)
    Path(PROGRAM["OWN_TEXT"]).write_text(QUOTES * 40, encoding="utf-8")

    def lstmgen(*arguments: Any) -> str:
        shorter = ("--steps", 1, "--seeds", 1, "--hidden-size", 4, "--lags", 2) if arguments[0] == "compare" else ()
        words = ["learn-lstm" if word == "english" else word for word in arguments]
        return done(*words, *shorter).text

    PROGRAM["main"].__globals__["lstmgen"] = lstmgen
    kept = {name: block for page in PAGES for name, block in PROGRAM["MADE"].findall(page)}
    made = {name: PROGRAM["make"](name) for name in PROGRAM["BLOCKS"]}
    for name, block in made.items():
        commands = [
            re.findall(r"^\$ .*", re.sub(r"\d+\.\d+", "UNIT", each), re.MULTILINE) for each in (block, kept[name])
        ]
        assert commands[0] == commands[1]
        assert len(block.splitlines()) > 3, name
    filled = PROGRAM["fill"](LEARN, made)
    assert all(block in filled or name == "recall-by-seed" for name, block in made.items())


@pytest.mark.parametrize("value", [0, 1])
@pytest.mark.parametrize("name", CELLS)
def test_a_lesion_holds_its_gate_and_changes_nothing_else(
    name: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, ids = small_network(CELLS[name]), np.arange(VOCAB_SIZE)
    weights, intact = random_weights(network), reference.preactivation
    lists = {key: array.tolist() for key, array in weights.items()}
    for block, gate in enumerate(network.cells[0].gate_names):
        if gate == "candidate":
            continue

        def held(own: Any, of: int, *rest: Any, block: int = block) -> float:
            return (500.0 if value else -500.0) if of == block else intact(own, of, *rest)

        monkeypatch.setattr(reference, "preactivation", held)
        expected = reference.network(name, lists, ids.tolist(), len(network.cells), 0)
        found = trace(network, PROGRAM["held"](network, weights, {gate: value}), ids)
        assert_allclose(found.logits, expected, rtol=0, atol=1e-12)
        assert all((layer.gates[gate] == value).all() for layer in found.layers)
