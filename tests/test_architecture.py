"""The folders are layers: imports point down, and torch stays out where it must."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lstmgen

PACKAGE = Path(lstmgen.__file__).parent

LAYERS = [
    {"printable", "report"},
    {"errors", "files"},
    {"config"},
    {"text", "cells", "record"},
    {"network"},
    {"checkpoint"},
    {"generation"},
    {"evaluation"},
    {"language_model"},
    {"export"},
    {"inspection"},
    {"pages"},
    {"draft"},
    {"serving"},
    {"training"},
    {"comparison"},
    {"benchmark"},
    {"cli"},
    {"__main__"},
]
"""From the bottom to the top; a module may import what is below it, and its own layer's part."""

TORCH = (
    "network/model.py",
    "generation/torch_engine.py",
    "network/kernels/",
    "evaluation/dynamic.py",
    "export/onnx_models.py",
    "export/torch_weights.py",
    "training/",
    "comparison/recall.py",
    "benchmark.py",
)
"""The only places that may import torch at module level."""

WITHOUT_TORCH = ("network/kernels/__init__.py", "network/kernels/numpy_layers.py")
"""The exceptions in these places."""


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part_of(name: str) -> str:
    """The part of the package that a module's path or dotted name belongs to."""
    return name.removeprefix("lstmgen.").replace("/", ".").removesuffix(".py").split(".")[0]


def layer_of(part: str) -> int:
    return next(number for number, parts in enumerate(LAYERS) if part in parts)


def test_imports_point_down() -> None:
    for name, tree in modules():
        if name == "__init__.py":
            continue
        here = part_of(name)
        for target in imported(tree):
            there = part_of(target)
            if not target.startswith("lstmgen.") or there in ("__version__", here):
                continue
            assert layer_of(there) < layer_of(here), f"{name} imports {target}"


def test_torch_is_imported_only_where_networks_learn() -> None:
    for name, tree in modules():
        if name.startswith(TORCH) and name not in WITHOUT_TORCH:
            continue
        tree.body = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        assert not any(target.split(".")[0] == "torch" for target in imported(tree)), name


def test_the_core_neither_prints_nor_reads_arguments() -> None:
    for name, tree in modules():
        if name.startswith("cli/"):
            continue
        calls = {
            node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert not calls & {"print", "input"}, name
        assert not {"typer", "rich", "tqdm"} & {target.split(".")[0] for target in imported(tree)}, name


def test_messages_of_the_core_name_settings_and_no_options() -> None:
    for name, tree in modules():
        if name.startswith("cli/") or name == "config.py":  # there a field says how its option is called
            continue
        documentation = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        texts = {node for node in ast.walk(tree) if isinstance(node, ast.Constant)} - documentation
        for text in texts:
            assert not re.search(r"(^|[^\w-])--[a-z]", str(text.value)), f"{name}: {text.value!r}"


@pytest.mark.parametrize(
    "command",
    [
        ["--help"],
        ["sample", "fable", "-n", "20"],
        ["eval", "fable"],
        ["inspect", "fable", "--walk", "The fox"],
        ["info", "fable"],
        ["runs", "fable", "--plot"],
        ["serve", "fable", "--port", "0"],
    ],
)
def test_torch_is_not_imported_by(command: list[str], trained_folder: Path) -> None:
    assert_not_imported("torch", command, trained_folder)


def test_training_does_not_load_torchs_compiler(trained_folder: Path, tmp_path: Path) -> None:
    """It takes a second, or ten on a busy machine."""
    text = trained_folder / "fable.txt"
    command = ["train", str(text), "--steps", "2", "--hidden-size", "8", "--batch-size", "2", "--dropout", "0.1"]
    assert_not_imported("torch._dynamo", command, tmp_path)


def assert_not_imported(module: str, command: list[str], folder: Path) -> None:
    script = f"""
import sys
from lstmgen.cli.app import main
from lstmgen.serving import server
server.HttpServer.run = lambda *_: None  # it would wait for Ctrl-C
try:
    main({command!r})
except SystemExit as ended:
    assert not ended.code, ended.code
sys.exit("{module} was imported" if "{module}" in sys.modules else 0)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
