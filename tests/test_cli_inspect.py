"""`lstmgen inspect`: what it prints for each choice, as text and as JSON."""

import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from rich.text import Text

from lstmgen.cells.arrays import softmax
from lstmgen.cli.report import bar, height, histogram, signed_bar
from lstmgen.inspection.trace import trace
from lstmgen.language_model import load
from tests.command_line import done, problem, untrained_run, usage_error
from tests.conftest import CELLS, FABLE, form

WALK = "The fox"


@pytest.fixture
def runs(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An untrained run of each cell, and a text."""
    monkeypatch.setenv("COLUMNS", "80")
    Path("fable.txt").write_text(FABLE * 20, encoding="utf-8")
    for name, model in CELLS.items():
        untrained_run(name, "".join(sorted(set(FABLE))), num_layers=2, attention=3, **form(model))
    return nowhere


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("name", CELLS)
def test_the_json_of_a_walk_is_the_trace_of_its_unit(name: str) -> None:
    (found,) = done("inspect", name, "--walk", WALK, "--unit", "2.3", "--json").json_lines
    checkpoint = load(name).checkpoint
    read = trace(checkpoint.network, checkpoint.weights, checkpoint.vocabulary.encode(WALK))
    layer = read.layers[1]
    assert [step["character"] for step in found["walk"]] == list(WALK)
    for time, step in enumerate(found["walk"]):
        assert (step["layer"], step["unit"]) == (2, 3)
        assert step["gates"] == {gate: float(array[time, 2]) for gate, array in layer.gates.items()}
        assert step["cell"] == float(layer.after[layer.memory_name][time, 2])
        assert step["cell_before"] == float(layer.before[layer.memory_name][time, 2])
        assert step["hidden"] == float(layer.after["hidden"][time, 2])
        assert len(step["attention"]) == min(time, 3)
        likeliest = read.logits[time].argsort()[::-1][:5]
        assert list(step["predictions"]) == [checkpoint.vocabulary.characters[token] for token in likeliest]
        assert list(step["predictions"].values()) == pytest.approx(softmax(read.logits)[time, likeliest], rel=1e-5)


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(
    ("name", "gates", "sums"),
    [
        ("rnn", [], ["h' = tanh(W x + R h + b)"]),
        ("lstm", ["f", "i", "o"], ["c' = f c + i g", "h' = o tanh(c')"]),
        ("peephole", ["f", "i", "o"], ["f  = σ(W x + R h + p c + b)", "o  = σ(W x + R h + p c' + b)"]),
        ("coupled", ["f", "o"], ["c' = f c + (1 - f) g"]),
        ("gru-after", ["r", "z"], ["n  = tanh(W x + r (R h + b) + b)", "h' = z h + (1 - z) n"]),
        ("gru-before", ["r", "z"], ["n  = tanh(W x + R (r h) + b)"]),
    ],
)
def test_every_equation_is_next_to_its_numbers(name: str, gates: list[str], sums: list[str]) -> None:
    written = done("inspect", name, "--walk", WALK, "--unit", "1.2").text
    explanation, *steps = re.split(r"\n\S ─+\n", written)
    assert all(equation in explanation for equation in sums)
    assert len(steps) == len(WALK)
    for step in steps:
        assert re.findall(r"(\w)  = σ\(", step) == gates
        assert all(len(line) <= 80 for line in step.splitlines())
        for first, rest, value in re.findall(r"σ\((\S+)((?: [+-] [\d.]+)+)\) += +([\d.]+)", step):
            total = float(first) + sum(float(term.replace(" ", "")) for term in re.findall(r"[+-] [\d.]+", rest))
            assert 1 / (1 + np.exp(-total)) == pytest.approx(float(value), abs=0.015)


@pytest.mark.usefixtures("in_trained_folder")
def test_without_a_unit_a_walk_says_which_it_takes() -> None:
    written = done("inspect", "fable", "--walk", WALK).text
    layer, unit = re.findall(r"^Layer (\d+), unit (\d+), the unit whose memory varies most", written)[0]
    (found,) = done("inspect", "fable", "--walk", WALK, "--json").json_lines
    assert [found["walk"][0]["layer"], found["walk"][0]["unit"]] == [int(layer), int(unit)]
    assert "attention" not in found["walk"][0]
    assert "looks back" not in written


@pytest.mark.usefixtures("runs")
def test_attention_to_what_is_before_the_text_is_said() -> None:
    written = done("inspect", "lstm", "--walk", WALK, "--unit", "1.1").text
    (found,) = done("inspect", "lstm", "--walk", WALK, "--unit", "1.1", "--json").json_lines
    lines = " ".join(written.split()).split("looks back ")[1:]
    for line, step in zip(lines, found["walk"], strict=True):
        outside = 1 - sum(each["weight"] for each in step["attention"])
        assert (f"nothing (before the text) {outside:.0%}" in line) == (outside >= 0.05)
    assert lines[0].startswith("nothing (before the text) 100% predicts") and "nothing" not in lines[3]


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("columns", [20, 34, 50])
def test_no_score_of_a_unit_is_cut(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    written = Text.from_ansi(
        done("inspect", "rnn", "fable.txt", "--units", "-n", "1000", "-q", terminal=True).text
    ).plain
    heading = written[written.index("\nUnit ") + 1 :].split("\n\n")[0]
    assert max(map(len, heading.splitlines())) <= columns
    assert re.search(r"(AUC|r)\s\d\.\d\d:$", heading)
    assert not re.search(r"(AUC|r) \d?\.?\d?$", written[: written.index(heading)], re.MULTILINE)


@pytest.mark.usefixtures("runs")
def test_a_walk_is_coloured_in_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    plain = done("inspect", "lstm", "--walk", WALK).text
    colored = done("inspect", "lstm", "--walk", WALK, terminal=True).text
    assert "\x1b" not in plain
    assert "\x1b" in colored
    assert [line.rstrip() for line in Text.from_ansi(colored).plain.splitlines()] == [
        line.rstrip() for line in plain.splitlines()
    ]
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in done("inspect", "lstm", "--walk", WALK, terminal=True).text


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("name", ["rnn", "lstm", "gru-after"])
def test_units_are_a_table_and_a_text(name: str) -> None:
    ran = done("inspect", name, "fable.txt", "--units", "--length", "1000")
    assert ran.err == "note: 1,000 characters of fable.txt\n"
    _, table, _, *shown = ran.text.split("\n\n")
    heading, *rows = table.splitlines()
    assert heading.split("  ")[0] == "feature"
    (found,) = done("inspect", name, "fable.txt", "--units", "--length", "1000", "--json", "--quiet").json_lines
    assert len(found["units"]) == 16
    assert [row.split("  ")[0] for row in rows] == [each["feature"] for each in found["features"]]
    for row, each in zip(rows, found["features"], strict=True):
        assert f" {each['layer']}.{each['unit']} " in row
        assert f"{each['score']:.2f}" in row
        untrained, chance = each["untrained"], 0.5 if each["measure"].startswith("area") else 0
        assert row.endswith(f" {untrained['score']:.2f}" if untrained["score"] > chance else " none")
    assert {"layer", "unit", "feature", "score", "measure"} == found["units"][0].keys()
    best = found["features"][0]
    assert shown[0].startswith(f"Unit {best['layer']}.{best['unit']}, {best['feature']}, ")
    assert FABLE.splitlines()[1] in ran.text


@pytest.mark.usefixtures("runs")
def test_a_text_is_shown_with_a_units_heights_or_in_red_and_blue(monkeypatch: pytest.MonkeyPatch) -> None:
    command = ("inspect", "lstm", "fable.txt", "--units", "--unit", "2.5", "--length", "800")
    shown = done(*command).text.split("Unit 2.5, ")[1].split("\n\n")[1].splitlines()
    text = (FABLE * 20)[:800]
    checkpoint = load("lstm").checkpoint
    activity = trace(checkpoint.network, checkpoint.weights, checkpoint.vocabulary.encode(text)).layers[1].activity
    assert "".join(line.replace("↵", "\n") for line in shown[::2]) == text[400:]
    assert "".join(shown[1::2]) == "".join(height((value + 1) / 2) for value in activity[400:, 4])

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.delenv("NO_COLOR", raising=False)
    written = done(*command, terminal=True).text
    colored = Text.from_ansi(written.split("Unit 2.5, ")[1].split("\n\n", 1)[1])
    for offset, value in enumerate(activity[400:440, 4]):
        color = colored.get_style_at_offset(Console(), offset).bgcolor
        assert color is not None
        red, _, blue = color.get_truecolor()
        assert (red > blue) == (value > 0) or abs(value) < 0.05


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("name", CELLS)
def test_gates_are_a_table_with_half_lives(name: str) -> None:
    written = done("inspect", name, "fable.txt", "--gates", "-n", "99", "-q").text
    (found,) = done("inspect", name, "fable.txt", "--gates", "-n", "99", "-q", "--json").json_lines
    if name == "rnn":
        assert written.startswith("This cell has no gates")
        assert found["gates"] == []
        return
    for each in found["gates"]:
        row = re.search(rf"^{each['layer']} +{each['gate']} +(\S+) +(\S+) ", written, re.MULTILINE)
        assert row
        assert row.groups() == (f"{each['nearly_shut']:.1%}", f"{each['nearly_open']:.1%}")
    keeping = [each for each in found["gates"] if "half_life" in each]
    assert [each["gate"] for each in keeping] == 2 * ["update" if name.startswith("gru") else "forget"]
    assert all(len(each["half_life"]) == 8 for each in keeping)


READ = ("fable.txt", "--memory", "--length", "150")


@pytest.mark.usefixtures("runs")
def test_memory_is_a_chart_by_distance() -> None:
    written = done("inspect", "lstm", *READ, "--quiet").text
    (found,) = done("inspect", "lstm", *READ, "--json").json_lines
    assert [each["visible"] for each in found["memory"]] == [1, 2, 4, 8, 16, 32, 64]
    assert found["memory_reach"] in [1, 2, 4, 8, 16, 32, 64]
    assert [each["back"] for each in found["reach"]] == list(range(149))
    for each in found["memory"]:
        assert re.search(rf"^ +{each['visible']}  {each['nats_per_character']:.4f} ", written, re.MULTILINE)
    assert re.search(rf"^It uses {found['memory_reach']} characters?:", written, re.MULTILINE)
    (network,) = found["networks"]
    assert network["visible"] == {f"{each['visible']}": each["nats_per_character"] for each in found["memory"]}
    assert network["gradient"] == {f"{2**n}": found["reach"][2**n - 1]["gradient"] for n in range(8)}
    for measure in ("influence", "gradient"):
        for distance, value in network[measure].items():
            assert re.search(rf"^ +{distance}   {value:.1e}( |$)", written, re.MULTILINE)


@pytest.mark.usefixtures("runs")
def test_several_networks_are_columns_and_rows_of_blocks() -> None:
    names = ["rnn", "lstm", "gru-after"]
    (found,) = done("inspect", *names, *READ, "--json").json_lines
    assert [Path(network["checkpoint"]).parent.name for network in found["networks"]] == names
    written = done("inspect", *names, *READ, "--quiet").text
    for measure, digits in (("visible", ".3f"), ("influence", ".1e"), ("gradient", ".1e")):
        for distance in found["networks"][0][measure]:
            values = [f"{network[measure][distance]:{digits}}" for network in found["networks"]]
            assert re.search(rf"^{distance} +{' +'.join(map(re.escape, values))}$", written, re.MULTILINE)
    for name in names:
        assert len(re.findall(rf"^{name} +[▁▂▃▄▅▆▇█ ]+$", written, re.MULTILINE)) == 3
    (alone,) = done("inspect", "lstm", *READ, "--json").json_lines
    for measure in ("visible", "influence", "gradient"):
        assert found["networks"][1][measure] == pytest.approx(alone["networks"][0][measure], rel=1e-6)


@pytest.mark.usefixtures("in_trained_folder")
def test_several_networks_read_the_text_that_the_first_one_held_out() -> None:
    other = Path("checkpoints", "fable", "last.safetensors")
    ran = done("inspect", "fable", other, "--memory", "--json")
    assert "198 characters of fable.txt: the last 10%, held out, read by fable, " in ran.err
    assert ran.json_lines[0]["text"] == "fable.txt: the last 10%, held out"
    assert len(done("inspect", "fable", "fable", "--memory", "--json").json_lines[0]["networks"]) == 1


def test_each_network_encodes_the_text_itself(nowhere: Path) -> None:
    text = "one (two) \u00e9, three\n" * 20
    (nowhere / "text.txt").write_text(text, encoding="utf-8")
    untrained_run("letters", "".join(sorted(set(text))))
    untrained_run("fewer", "".join(sorted({*text} - {"\u00e9"})))
    assert problem("inspect", "letters", "fewer", "text.txt", "--memory", "-q").startswith("lstmgen: fewer: ")
    ran = done("inspect", "letters", "fewer", "text.txt", "--memory", "--json", "--on-unknown", "skip")
    assert len(ran.json_lines[0]["networks"]) == 2 and "left out 20 characters" in ran.err
    assert problem("inspect", "fewer", "letters", "text.txt", "--memory", "-q").startswith("lstmgen: fewer: ")
    untrained_run("bytes", None)
    untrained_run("lines", "".join(sorted(set(text))), lines=True)
    ran = done("inspect", "letters", "bytes", "lines", "-", "--memory", "--json", stdin=text.encode())
    letters, as_bytes, lines = ran.json_lines[0]["networks"]
    assert "except for bytes" in ran.err
    assert letters["examples"]["round brackets"] == {"1": 20, "2": 20} == as_bytes["examples"]["round brackets"]
    assert list(lines["visible"]) == ["1", "2", "4", "8", "16", "32"] != list(letters["visible"])


@pytest.mark.usefixtures("nowhere")
def test_what_one_network_does_not_know_no_other_one_reads() -> None:
    text = "one (two) \u00e9, three\n" * 20
    Path("all.txt").write_text(text, encoding="utf-8")
    Path("fewer.txt").write_text(text.replace("\u00e9", ""), encoding="utf-8")
    Path("bytes.txt").write_bytes(text.replace("\u00e9", "\ud8ff").encode("utf-8", "surrogatepass"))
    untrained_run("letters", "".join(sorted(set(text))))
    untrained_run("fewer", "".join(sorted({*text} - {"\u00e9"})))
    untrained_run("bytes", None)
    skip = ("--memory", "--json", "--on-unknown", "skip")
    for order in ("letters fewer", "fewer letters", "letters bytes fewer", "bytes letters fewer"):
        names = order.split()
        expected = done("inspect", *names, "fewer.txt", *skip).json_lines[0]["networks"]
        assert done("inspect", *names, "all.txt", *skip).json_lines[0]["networks"] == expected
        if names[0] == "bytes":
            assert done("inspect", *names, "bytes.txt", *skip).json_lines[0]["networks"] == expected
    untrained_run("other", "\u4e00")
    assert "all.txt" in problem("inspect", "fewer", "other", "all.txt", *skip)


@pytest.mark.usefixtures("nowhere")
def test_the_length_does_not_count_the_line_feed_before_the_first_line() -> None:
    text = "one two\nthree\n" * 20
    Path("text.txt").write_text(text, encoding="utf-8")
    untrained_run("lines", "".join(sorted(set(text))), lines=True)
    assert "note: 100 characters" in done("inspect", "lines", "text.txt", "--gates", "--length", 100).err
    assert "with 50 characters" in done("inspect", "lines", "text.txt", "--html", "a.html", "--length", 50).err


@pytest.mark.usefixtures("in_trained_folder")
@pytest.mark.parametrize("choice", ["--units", "--gates", "--memory"])
def test_the_text_is_by_default_what_training_held_out(choice: str) -> None:
    ran = done("inspect", choice, "--json")
    (found,) = ran.json_lines
    assert found["text"] == "fable.txt: the last 10%, held out"
    assert "198 characters of fable.txt: the last 10%, held out" in ran.err and "fable" in ran.err.split(",")[-1]


@pytest.mark.usefixtures("in_trained_folder")
def test_exactly_one_thing_is_shown() -> None:
    for choice in ([], ["--units", "--gates"], ["--walk", "a", "--memory"]):
        assert "--walk" in usage_error("inspect", "fable", *choice)
    assert "--walk" in usage_error("inspect", "fable", "fable.txt", "--walk", "a")
    assert "--walk" in usage_error("inspect", "fable", "--walk", "a", "--length", "3")
    assert "--unit" in usage_error("inspect", "fable", "--gates", "--unit", "1.1")
    for choice in (["--gates"], ["--units"], ["--walk", "a"]):
        assert "--memory and --html" in usage_error("inspect", "fable", "fable", *choice)
    for unit in ("1", "a.b", "1.", "-1.2"):
        usage_error("inspect", "fable", "--walk", "a", f"--unit={unit}")


@pytest.mark.usefixtures("in_trained_folder")
def test_what_a_user_can_fix_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--unit 2.1" in problem("inspect", "fable", "--walk", "a", "--unit", "2.1")
    assert "--walk ''" in problem("inspect", "fable", "--walk", "")
    assert "'é'" in problem("inspect", "fable", "--walk", "fané")
    assert done("inspect", "fable", "--walk", "fané", "--on-unknown", "skip").text.count("predicts") == 3
    problem("inspect", "fable", "fable.txt", "--units", "--length", "9", "--quiet")
    monkeypatch.chdir(tmp_path)
    untrained_run("some", "ab\n")
    assert "TEXT" in problem("inspect", "some", "--gates")


def test_a_bar_is_as_long_as_its_fraction() -> None:
    bars = ["", "", "█", "██", "██▏", "████", "████"]
    assert [bar(fraction, 4) for fraction in (-1, 0, 0.25, 0.5, 0.53, 1, 2)] == bars
    assert [signed_bar(value, 2) for value in (-2, -0.75, 0, 0.25, 1)] == ["██│", "▐█│", "  │", "  │▌", "  │██"]
    assert histogram([0, 1, 4, 8]) == " ▂▅█"
    assert histogram([0, 0]) == "  "
