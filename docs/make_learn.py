"""Measure every number in LEARN.md, and the recall table in TRIALS.md, again with this version.

    python docs/make_learn.py                  all of them
    python docs/make_learn.py units lesions    only these blocks
    python docs/make_learn.py --in FOLDER      keep the networks in a folder, and reuse those that are already there

In both pages each block follows a line `<!-- made: NAME -->`. This program trains the networks, runs the commands that
the blocks show, writes the blocks, and lists every number in LEARN.md's prose that no block contains.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from lstmgen.checkpoint import Checkpoint, find_checkpoint, load_checkpoint
from lstmgen.generation.engine import NumpyEngine
from lstmgen.generation.sampler import negative_log_likelihood
from lstmgen.inspection.trace import text_to_read
from lstmgen.language_model import LanguageModel
from lstmgen.network.architecture import Network

FOLDER = Path(__file__).parent
LEARN = FOLDER / "LEARN.md"
PAGES = (LEARN, FOLDER / "TRIALS.md")  # with blocks
RECIPE = "--layers 1 --steps 1500 --learning-rate 0.012 --weight-decay 0.08 --precision float32 --threads 1"
CELLS = ("rnn", "lstm", "peephole", "coupled", "gru")
NETWORKS = {f"learn-{cell}": f"--cell {cell} --hidden-size 64 --chunk-length 64" for cell in CELLS} | {
    "learn-attention": "--attention 32 --hidden-size 64 --chunk-length 64",
    "learn-rnn-wide": "--cell rnn --hidden-size 132 --chunk-length 64",  # about as many weights as learn-lstm
    "learn-short": "--hidden-size 64 --chunk-length 8 --batch-size 256",
    "learn-long": "--hidden-size 64 --chunk-length 256 --batch-size 8",
}
"""The options of each network, by the name of its run, in addition to the recipe."""

TEXT = 'The "if"'  # the text of the walks
REPEATED = 'the "method" and the "meth'  # the text for attention
OWN_TEXT = "own.txt"  # the text that the starter model writes
COLUMNS = 80
DISTANCES = (1, 2, 4, 8, 16, 32, 64, 128)


def lstmgen(*arguments: object) -> str:
    """Run a command in the current folder and return its stdout."""
    command = [sys.executable, "-m", "lstmgen", *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    ran = subprocess.run(  # noqa: S603  # the commands of LEARN.md
        command, capture_output=True, encoding="utf-8", env={**environment, "PYTHONUTF8": "1"}
    )
    if ran.returncode:
        raise SystemExit(f"{' '.join(command)}: {ran.stderr}")
    return ran.stdout


def train(name: str) -> None:
    """Train one of the networks, unless it already exists."""
    if not Path("checkpoints", name).exists():
        lstmgen("train", *NETWORKS[name].split(), *RECIPE.split(), "--run", name, "--quiet")


def typed(*arguments: str) -> str:
    """Format a command as a user would type it."""
    return " ".join(["$ lstmgen", *(f"'{word}'" if re.search(r'[\s"]', word) else word for word in arguments)])


# Walks: each cell shows its unit for open quotes.


@cache
def quote_unit(*text: str) -> str:
    """The unit of a network that best tracks open quotes in the text; any unit if none does."""
    found = json.loads(lstmgen("inspect", *text, "--units", "--json"))
    of_quotes = [each for each in found["features"] if each["feature"] == "inside quotes"]
    best = [*of_quotes, *found["units"]][0]
    return f"{best['layer']}.{best['unit']}"


def walk(name: str, *parts: str, steps: Collection[int] = (4, 6, 7)) -> list[str]:
    """Walk with a network's unit for quotes and return some steps, counted from 0: all lines, or only some parts."""
    arguments = ("inspect", name, "--walk", TEXT, "--unit", quote_unit(name))
    return [typed(*arguments), *steps_of(lstmgen(*arguments), steps, parts)]


def steps_of(written: str, steps: Collection[int], parts: Collection[str] = ()) -> list[str]:
    """The lines of some steps of a walk, without the sentence that describes each step."""
    _, *blocks = re.split(r"^.+ ─{9,}\n", written, flags=re.MULTILINE)
    lines = [
        line for number in steps for line in blocks[number].splitlines() if line and not line.lstrip().startswith("It ")
    ]
    return [line for line in lines if not parts or line.startswith(("after", *parts))]


def looks_back() -> list[str]:
    """Show where attention looks at the last characters of a text that repeats a word."""
    arguments = ("inspect", "learn-attention", "--walk", REPEATED)
    steps = (REPEATED.index("m"), REPEATED.rindex("m"), len(REPEATED) - 1)
    return [typed(*arguments), *steps_of(lstmgen(*arguments), steps, ("looks back", "   ", "predicts"))]


# Memory


@cache
def measures(name: str) -> Mapping[str, Mapping[int, float]]:
    """The four measures of a network's memory, each by distance in characters."""
    (found,) = json.loads(lstmgen("inspect", name, "--memory", "--json"))["networks"]
    found |= {"quotes": found["pairs"].get("double quotes", {})}
    return {
        measure: {int(number): value for number, value in found[measure].items()}
        for measure in ("visible", "influence", "gradient", "quotes")
    }


MEASURES = {
    "visible": ("loss, seeing so many", "{:.3f}"),
    "influence": ("influence", "{:.0e}"),
    "gradient": ("gradient", "{:.0e}"),
    "quotes": ("knows open quote", "{:.1f}"),
}
"""The title of each row, and the format of its numbers."""


def table(rows: Iterable[tuple[str, Iterable[str]]], first: int, width: int) -> list[str]:
    """Format rows as a name and right-aligned cells."""
    return [f"{name:<{first}}" + "".join(f"{cell:>{width}}" for cell in cells) for name, cells in rows]


def memory(name: str) -> list[str]:
    """The four measures of one network."""
    rows = [("characters", map(str, DISTANCES))]
    for measure, (title, form) in MEASURES.items():
        found = measures(name)[measure]
        rows.append((title, [form.format(found[number]) if number in found else "" for number in DISTANCES]))
    return [typed("inspect", name, "--memory"), *table(rows, 21, 7)]


def cell(name: str, *parts: str, steps: Collection[int] = (4, 6)) -> list[str]:
    """The walk of a network, and its memory."""
    return [*walk(name, *parts, steps=steps), "", *memory(name)]


COLUMNS_OF_COMPARISON = (
    ("loss", "visible", 128),
    ("quote", "quotes", 8),
    ("influence", "influence", 32),
    ("gradient", "gradient", 64),
)


def comparison(names: Mapping[str, str]) -> list[str]:
    """A table of networks with the given titles: each column is a measure at one distance."""
    rows = [("", ["parameters", *(f"{title} {number}" for title, _, number in COLUMNS_OF_COMPARISON)])]
    for name, title in names.items():
        cells = [f"{load_checkpoint(find_checkpoint(name)).network.parameter_count():,}"]
        for _, measure, number in COLUMNS_OF_COMPARISON:
            value = measures(name)[measure].get(number)
            cells.append("" if value is None else MEASURES[measure][1].format(value))
        rows.append((title, cells))
    return table(rows, 15, 13)


def six_cells() -> list[str]:
    """All cells in one table, with a second RNN that has as many weights as the LSTM."""
    names = {f"learn-{name}": name for name in ("rnn", "rnn-wide", *CELLS[1:], "attention")}
    return comparison(names | {"learn-rnn-wide": "rnn, 132 units", "learn-attention": "attention 32"})


def chunks() -> list[str]:
    """The LSTM after training with chunks of several lengths."""
    return comparison({"learn-short": "chunks of 8", "learn-lstm": "chunks of 64", "learn-long": "chunks of 256"})


# The recall task


@cache
def recalled() -> str:
    """The report of the recall task on six networks."""
    return lstmgen("compare", "--task", "recall", "--threads", 1, "--quiet")


def recall(*, seeds: bool = True) -> list[str]:
    """The accuracy of six networks by lag, for each seed or only the mean."""
    first, *lines = recalled()[recalled().index("% right at lag") :].split("\n\n")[0].splitlines()
    lines = [line for line in lines if seeds or not line.startswith("  seed")]
    return [typed("compare", "--task", "recall"), first, *lines]


# What the starter's units learn


def units() -> list[str]:
    """What the starter model's units track in a text that it wrote, and the memory of one unit over a few lines."""
    arguments = ("inspect", "english", OWN_TEXT, "--units", "--unit", quote_unit("english", OWN_TEXT))
    written = lstmgen(*arguments)
    (features,) = (part for part in written.split("\n\n") if part.startswith("feature"))
    pairs = [pair for pair in pairwise(written.splitlines()) if pair[1][:1] in set("▁▂▃▄▅▆▇█")]
    quoting = [pair for pair in pairs if set('"“”') & set(pair[0]) and len(pair[0]) <= COLUMNS]
    return [typed(*arguments), *features.splitlines(), "", *(line for pair in quoting[:2] for line in pair)]


# Lesions


Lesion = Mapping[str, float]
LESIONS: Mapping[str, Mapping[str, Lesion]] = {
    "learn-lstm": {
        "keep everything": {"forget": 1},
        "forget everything": {"forget": 0},
        "write nothing": {"input": 0},
        "freeze": {"forget": 1, "input": 0},
        "put nothing out": {"output": 0},
    },
    "learn-gru": {"keep everything": {"update": 1}, "forget everything": {"update": 0}},
}
"""Gates that are held at a value; the names match the page of `inspect --html`."""


def held(network: Network, weights: Mapping[str, Any], lesion: Lesion) -> dict[str, Any]:
    """Change the weights of a network so that some gates are always 0 or 1, in all layers, whatever they read."""
    changed = {name: array.copy() for name, array in weights.items()}
    for number, cell in enumerate(network.cells):
        for gate, value in lesion.items():
            block = cell.gate_names.index(gate) * network.hidden_size
            rows = slice(block, block + network.hidden_size)
            for name in ("weight_ih", "weight_hh"):
                changed[f"layers.{number}.{name}"][rows] = 0
            if (peephole := f"layers.{number}.peephole_{gate}") in changed:
                changed[peephole][:] = 0
            changed[f"layers.{number}.bias"][rows] = 1000 if value else -1000  # σ of it is exactly 1 or 0
    return changed


def loss_after(checkpoint: Checkpoint, ids: Any, lesion: Lesion, *, places: int = 100, length: int = 50) -> float:
    """The mean loss in nats over the next characters with a lesion, starting at some places in a text, (time,)."""
    network, before = checkpoint.network, 200
    starts = np.linspace(before, len(ids) - length - 1, places).astype(int)[:, None]
    intact = NumpyEngine(network, checkpoint.weights)
    _, state = intact.read(ids[starts + np.arange(-before, 0)], intact.initial_state(places))
    lesioned = NumpyEngine(network, held(network, checkpoint.weights, lesion))
    logits, _ = lesioned.read(ids[starts + np.arange(length)], state)
    targets = ids[starts + np.arange(1, length + 1)]
    return float(negative_log_likelihood(logits.reshape(targets.size, -1), targets.reshape(-1)).mean())


def lesions() -> list[str]:
    """The loss after each lesion."""
    rows = [("", ["nats per character"])]
    for name, ways in LESIONS.items():
        checkpoint = load_checkpoint(find_checkpoint(name))
        loss = partial(loss_after, checkpoint, text_to_read(checkpoint, length=20_000).ids)
        kind = str(checkpoint.model.cell)
        rows.append((kind, [f"{loss({}):.2f}"]))
        for title, lesion in ways.items():
            which = " and ".join(f"the {gate} gate at {value}" for gate, value in lesion.items())
            rows.append((f"  {title}: {which}", [f"{loss(lesion):.2f}"]))
    return table(rows, 58, 20)


def lesioned_texts() -> list[str]:
    """What the LSTM writes with each lesion."""
    checkpoint = load_checkpoint(find_checkpoint("learn-lstm"))
    lines, ways = [], LESIONS["learn-lstm"]
    for title in ("intact", "keep everything", "forget everything", "put nothing out"):
        lesion = ways.get(title, {})
        model = LanguageModel(replace(checkpoint, weights=held(checkpoint.network, checkpoint.weights, lesion)))
        written = model.sample("The ", length=56, temperature=0.5, seed=1)
        lines.append(f"{title:<19}{written}".replace("\n", "↵"))
    return lines


PARTS = {
    "forget": ("forget gate",),
    "write": ("input gate", "candidate"),
    "update": ("cell state",),
    "output": ("output gate", "output ", "predicts"),
}
BLOCKS: dict[str, Callable[[], list[str]]] = {
    "walk-rnn": partial(walk, "learn-rnn", steps=(4, 6)),
    "memory-rnn": partial(memory, "learn-rnn"),
    **{f"walk-{part}": partial(walk, "learn-lstm", *lines) for part, lines in PARTS.items()},
    "memory-lstm": partial(memory, "learn-lstm"),
    "peephole": partial(cell, "learn-peephole", "forget", "input", "cell state", "output gate", steps=(4, 7)),
    "coupled": partial(cell, "learn-coupled", "forget", "candidate", "cell state", "predicts"),
    "gru": partial(cell, "learn-gru"),
    "attention": lambda: [*looks_back(), "", *memory("learn-attention")],
    "six-cells": six_cells,
    "chunks": chunks,
    "recall": partial(recall, seeds=False),
    "recall-by-seed": recall,
    "units": units,
    "lesions": lesions,
    "lesioned-texts": lesioned_texts,
}
"""The blocks, by name."""

MADE = re.compile(r"<!-- made: (\S+) -->\n(```\n.*?```)$", re.DOTALL | re.MULTILINE)


def make(name: str) -> str:
    """Make one block."""
    print(name, file=sys.stderr)
    return "\n".join(["```", *(line.rstrip() for line in BLOCKS[name]()), "```"])


def fill(page: str, made: Mapping[str, str]) -> str:
    """Put blocks, by name, into a page."""
    return MADE.sub(lambda found: f"<!-- made: {found[1]} -->\n{made.get(found[1], found[2])}", page)


NUMBER = re.compile(r"(?<![\w.,])(?:\d+(?:\.\d+)? ?%|\d+\.\d+(?![\w.])|\d(?:\.\d)?e[+-]\d+)")
"""A number in the prose that some block must contain: one with a decimal point, an exponent or a percent sign."""

BY_DEFINITION = {"0.69", "3.8%", "0.50"}  # the loss at a probability of one half; one of 26 letters; the AUC of chance


def contradicted(page: str) -> list[str]:
    """The numbers in the prose before the exercises that no block contains, without those in code and equations."""
    known = BY_DEFINITION | {
        number.replace(" ", "") for made in MADE.finditer(page) for number in NUMBER.findall(made[2])
    }
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", MADE.sub("", page.partition("## Exercises")[0]), flags=re.DOTALL)
    return [number for number in NUMBER.findall(prose) if number.replace(" ", "") not in known]


def main() -> None:
    """Train the networks and write the blocks, while a second process runs the recall task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("blocks", nargs="*", metavar="BLOCK", help=f"default: all of {', '.join(BLOCKS)}")
    parser.add_argument("--in", dest="folder", type=Path, help="keep the networks here; default: a temporary folder")
    chosen = parser.parse_args()
    names = chosen.blocks or list(BLOCKS)
    if unknown := set(names) - BLOCKS.keys():
        parser.error(f"there is no block {', '.join(unknown)}")
    of_recall = [name for name in names if name.startswith("recall")]
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor() as pool:
        folder = chosen.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        os.chdir(folder)
        asked = pool.submit(recalled) if of_recall else None
        if names != of_recall:
            for name in NETWORKS:
                train(name)
            if not Path(OWN_TEXT).exists():
                options = ("-p", '"Yes," she said. ', "--temp", 0.8, "-n", 20_000, "--seed", 2)
                written = lstmgen("sample", "english", *options, "--quiet")
                Path(OWN_TEXT).write_text(written, encoding="utf-8", newline="\n")
        made = {name: make(name) for name in names if name not in of_recall}
        if asked:
            asked.result()
        made |= {name: make(name) for name in of_recall}
        os.chdir(FOLDER)  # the temporary folder can be removed only from outside
    for page in PAGES:
        page.write_text(fill(page.read_text(encoding="utf-8"), made), encoding="utf-8", newline="\n")
    for number in contradicted(LEARN.read_text(encoding="utf-8")):
        print(f"LEARN.md: the prose says {number}, which no block contains", file=sys.stderr)


if __name__ == "__main__":
    main()
