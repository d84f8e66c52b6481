"""What is left of a change some tokens later, checked against two whole forward passes in double precision."""

import math
import re

import numpy as np
import pytest

from lstmgen.cells.arrays import softmax
from lstmgen.checkpoint import Checkpoint
from lstmgen.cli.report import print_report
from lstmgen.config import VocabularyKind
from lstmgen.inspection.influence import MIN_EXAMPLES, divergence, influence, pair_memory
from lstmgen.inspection.memory import measure_memory
from lstmgen.inspection.pairs import find_pairs
from lstmgen.inspection.report import memories_report
from lstmgen.inspection.trace import trace
from lstmgen.pages.sections import section
from lstmgen.report import Table
from lstmgen.text.vocabulary import Vocabulary
from tests.command_line import untrained_checkpoint
from tests.conftest import NETWORKS, form

LETTERS = Vocabulary(VocabularyKind.CHARACTERS, "\n ()ab")
CLOSE = 1e-4  # the state before a change is in single precision


def some_checkpoint(name: str, *, lines: bool = False) -> Checkpoint:
    return untrained_checkpoint(LETTERS, lines=lines, num_layers=2, attention=3, **form(NETWORKS[name]))


def probabilities(checkpoint: Checkpoint, ids: np.ndarray) -> np.ndarray:
    """What is predicted after each token, (time, vocab)."""
    weights = {name: array.astype(np.float64) for name, array in checkpoint.weights.items()}
    return np.asarray(softmax(trace(checkpoint.network, weights, ids, end_token=checkpoint.end_token).logits))


def divergences(checkpoint: Checkpoint, ids: np.ndarray, at: int) -> np.ndarray:
    """How much the predictions after each token, from one on, change if that one is the other letter."""
    changed = ids.copy()
    changed[at] = LETTERS.encode("b" if ids[at] == LETTERS.encode("a") else "a")[0]
    true, other = (probabilities(checkpoint, each)[at:] for each in (ids, changed))
    return np.asarray((true * np.log(true / other)).sum(axis=1))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_influence_is_the_divergence_of_two_passes(name: str) -> None:
    checkpoint = some_checkpoint(name)
    ids = LETTERS.encode("".join(np.random.default_rng(0).choice(["a", "b"], 20)))
    found = influence(checkpoint, ids)
    assert list(found) == [1, 2, 4, 8]
    slow = [divergences(checkpoint, ids, at) for at in range(13)]
    for distance, nats in found.items():
        assert nats == pytest.approx(np.mean([each[distance - 1] for each in slow]), rel=CLOSE)


def test_the_influence_of_a_line_stays_in_it() -> None:
    checkpoint = some_checkpoint("lstm", lines=True)
    lines = ["abbab", "baaba", "b", "ab"] * 3 + ["abbabbaab"]  # too few are as long as the last one
    text = "\n" + "\n".join(lines)
    found = influence(checkpoint, LETTERS.encode(text))
    assert list(found) == [1, 2, 4]
    slow: dict[int, list[float]] = {distance: [] for distance in found}
    for line in lines:
        for at in range(len(line)):
            later = divergences(checkpoint, LETTERS.encode(f"\n{line}"), at + 1)
            for distance, each in slow.items():
                each.extend(later[distance - 1 : distance])
    for distance, each in slow.items():
        assert found[distance] == pytest.approx(np.mean(each), rel=CLOSE)


def test_without_recurrence_nothing_is_left_after_one_token() -> None:
    checkpoint = untrained_checkpoint(LETTERS, num_layers=2, **form(NETWORKS["rnn"]))
    for name in checkpoint.weights:
        if name.endswith("weight_hh"):
            checkpoint.weights[name][:] = 0
    first, *others = influence(checkpoint, LETTERS.encode("abbab (ab) " * 9)).values()
    assert first > 0.01
    assert others == [0] * 5


@pytest.mark.parametrize("count", [1, 2])
def test_a_network_that_never_changes_its_mind_has_a_report(count: int, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = some_checkpoint("lstm")
    for weight in checkpoint.weights.values():
        weight[:] = 0
    memory = measure_memory(checkpoint, LETTERS.encode("abbab (ab) " * 12))
    assert {*memory.influence.values(), *memory.gradient.values()} == {0}
    assert set(memory.pairs["round brackets"].ratios.values()) == {1}
    parts = memories_report({f"network {number}": memory for number in range(count)}, "character")
    print_report(parts)
    assert len(re.findall(r"^ *\d+  +0( +0)?$", capsys.readouterr().out, re.MULTILINE)) == 7 + 8
    assert "<polyline" in section("memory", parts)


def test_the_other_token_depends_on_the_seed_alone() -> None:
    checkpoint, ids = some_checkpoint("gru-after"), LETTERS.encode("abbab (ab) " * 9)
    assert influence(checkpoint, ids) == influence(checkpoint, ids, seed=0) != influence(checkpoint, ids, seed=1)


def test_a_text_of_one_token_has_no_influence() -> None:
    assert influence(some_checkpoint("lstm"), LETTERS.encode("aaaaaaaa")) == {}
    assert influence(some_checkpoint("lstm", lines=True), LETTERS.encode("\na\na\n")) == {}


@pytest.mark.parametrize("size", [1.0, 1e-3, 1e-9])
def test_a_small_divergence_is_not_lost(size: float) -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(4, 50))
    true, other = (np.log(softmax(each)) for each in (logits, logits + size * generator.normal(size=(4, 50))))
    small = (np.exp(true) * (other - true) ** 2).sum(axis=1) / 2  # what it is in the limit
    exact = (np.exp(true) * (true - other)).sum(axis=1)
    np.testing.assert_allclose(divergence(true, other), small if size < 1e-6 else exact, rtol=1e-6)
    assert divergence(true, true).tolist() == [0] * 4


@pytest.mark.parametrize(("name", "lines"), [*((name, False) for name in NETWORKS), ("lstm", True), ("rnn", True)])
def test_a_pair_is_known_by_the_ratio_of_two_passes(name: str, lines: bool) -> None:
    generator = np.random.default_rng(0)
    inside = ["".join(generator.choice(["a", "b", " "], length)) for length in [1, 2, *[4, 5] * 5]]
    text = "\n" + "".join(f"a({each}) {'' if number % 3 else chr(10)}" for number, each in enumerate(inside))
    checkpoint, ids = some_checkpoint(name, lines=lines), LETTERS.encode(text)
    (found,) = pair_memory(checkpoint, ids).values()
    assert found.examples == {1: 12, 2: 11, 4: 10}
    logarithms: dict[int, list[float]] = {distance: [] for distance in found.ratios}
    for opener in np.flatnonzero(ids == LETTERS.encode("(")):
        not_opened = ids.copy()
        not_opened[opener] = LETTERS.encode(" ")[0]
        read = [each[: opener + 5] for each in (ids, not_opened)]
        closing = [np.log(probabilities(checkpoint, each)[:, LETTERS.encode(")")[0]]) for each in read]
        for distance, each in logarithms.items():
            if ")" not in text[opener : opener + distance + 1]:
                each.append(closing[0][opener + distance] - closing[1][opener + distance])
    assert list(logarithms) == [1, 2, 4]
    for distance, each in logarithms.items():
        assert len(each) == found.examples[distance]
        assert found.ratios[distance] == pytest.approx(math.exp(np.mean(each)), rel=CLOSE)


def test_too_few_pairs_are_only_counted() -> None:
    checkpoint, ids = some_checkpoint("lstm"), LETTERS.encode("a (ab) b\n" * (MIN_EXAMPLES - 1))
    found = pair_memory(checkpoint, ids)
    assert found["round brackets"].ratios == {}
    assert found["round brackets"].examples == {1: MIN_EXAMPLES - 1, 2: MIN_EXAMPLES - 1}
    *_, last = memories_report({"": measure_memory(checkpoint, ids)}, "character")
    assert f"round brackets ({MIN_EXAMPLES - 1})" in str(last)


def test_several_networks_are_compared_on_the_same_examples() -> None:
    small, large = some_checkpoint("rnn"), untrained_checkpoint(LETTERS, hidden_size=60)
    ids = LETTERS.encode("a (ab) b\n" * 12)
    memories = {name: measure_memory(each, ids, size=10**9) for name, each in {"small": small, "large": large}.items()}
    assert memories["small"].positions == memories["large"].positions < measure_memory(small, ids).positions
    tables = [part for part in memories_report(memories, "character") if isinstance(part, Table)]
    assert [table.columns[1:3] for table in tables] == [("small", "large")] * 4
    assert tables[-1].columns[-1] == "examples"


def test_bytes_have_pairs_as_well() -> None:
    checkpoint = untrained_checkpoint(Vocabulary(VocabularyKind.BYTES), num_layers=1)
    ids = checkpoint.vocabulary.encode('Er sagte "Grüße" [1].\n' * 12)
    assert {name: list(pair.ratios) for name, pair in pair_memory(checkpoint, ids).items()} == {
        "double quotes": [1, 2, 4],
        "square brackets": [1],
    }


# Pairs, from the text alone


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('he said "yes" and "no way".', {"double quotes": ["yes", "no way"]}),
        ('x = "" + """doc""" + "a"', {"double quotes": ["a"]}),
        ('f("(")', {"double quotes": ["("]}),
        ('"(x)", b', {"double quotes": ["(x)"], "round brackets": ["x"]}),
        ('"never closed\n\nbut "this"', {"double quotes": ["this"]}),
        ("don't 'do it', it's the boys' own", {"single quotes": ["do it"]}),
        ("'tis so, and 'twas so, 'til the lords' end", {}),
        ("'I don't know,' he said", {"single quotes": ["I don't know,"]}),
        (
            "\u201cIt\u2019s\u201d, \u2018it\u2019s\u2019",
            {"curved double quotes": ["It\u2019s"], "curved single quotes": ["it\u2019s"]},
        ),
        ("\u201eJa\u201c, \u00abnein\u00bb", {"low and high quotes": ["Ja"], "guillemets": ["nein"]}),
        ("a(b(c)d)e(f)", {"round brackets": ["f"]}),
        ("a[0] {b: 1} (c)", {"square brackets": ["0"], "curly brackets": ["b: 1"], "round brackets": ["c"]}),
        ("(a) (b\n\nc) (d)", {"round brackets": ["a", "d"]}),
        ("1 < 2 <b>c</b> d > e", {"tags": ["b", "/b"]}),
        ("/* one */ x <!-- two -->", {"block comments": [" one "], "comments in HTML": [" two "]}),
        ("# Heading\nx = 1  # one\n", {"comments after #": [" one"]}),
        ("x = 1; // one\nhttp://a.b\n", {"comments after //": [" one"]}),
        ("a) b( c", {}),
        ("()", {}),
        ("", {}),
    ],
)
def test_a_pair_is_what_opens_and_closes(text: str, expected: dict[str, list[str]]) -> None:
    found = find_pairs(text)
    assert {name: [text[each.begin : each.end] for each in stretches] for name, stretches in found.items()} == expected


def test_in_a_model_of_lines_a_pair_ends_with_its_line() -> None:
    assert find_pairs("(a\nb)") == {"round brackets": [(0, 1, 4)]}
    assert find_pairs("(a\nb)", lines=True) == {}
