"""Units that track a feature: their scores, and that they are scored on text that did not choose them."""

import numpy as np
import pytest

from lstmgen.cli.heatmap import unit_text
from lstmgen.config import VocabularyKind
from lstmgen.errors import TextError
from lstmgen.inspection.features import Feature, text_features
from lstmgen.inspection.report import units_report
from lstmgen.inspection.trace import one_character_each, trace
from lstmgen.inspection.units import (
    EXCERPT,
    MIN_STRENGTH,
    MIN_TOKENS,
    Units,
    excerpt,
    find_units,
    ranks,
    strengths,
)
from lstmgen.inspection.walk import Unit
from lstmgen.network.initialization import initialize
from lstmgen.text.vocabulary import Vocabulary
from tests.command_line import untrained_checkpoint
from tests.conftest import CELLS, form

TEXT = "".join(f"the fox {n}, THE {'very ' * (n % 4)}old fox.\n" for n in range(40))
LETTERS = Vocabulary(VocabularyKind.CHARACTERS, "".join(sorted(set(TEXT))))
IDS = LETTERS.encode(TEXT)
EXACT = 1e-9


def auc(unit: np.ndarray, feature: np.ndarray) -> float:
    """The definition: over all pairs, how often the unit is higher with the feature, with a tie counting half."""
    with_it, without = unit[feature == 1], unit[feature == 0]
    return float(np.mean((with_it[:, None] > without) + 0.5 * (with_it[:, None] == without)))


def names_of(found: Units) -> set[str]:
    """The features that the search covered."""
    return {*found.untracked, *(tracked.found.feature for tracked in found.features)}


def some_units() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.normal(size=(60, 4)).round(1), generator.integers(0, 2, (60, 3)).astype(float)


def test_the_strength_for_a_binary_feature_is_that_of_the_area_under_the_curve() -> None:
    units, features = some_units()
    found = strengths(units, features, np.ones(3, bool))
    for row, unit in enumerate(units.T):
        for column, feature in enumerate(features.T):
            assert found[row, column] == pytest.approx(2 * auc(unit, feature) - 1, abs=EXACT)


def test_the_strength_for_a_number_is_the_correlation_of_the_ranks() -> None:
    units, numbers = some_units()[0], np.random.default_rng(1).integers(0, 9, (60, 3)).astype(float)
    found = strengths(units, numbers, np.zeros(3, bool))
    for row, unit in enumerate(ranks(units).T):
        for column, number in enumerate(ranks(numbers).T):
            assert found[row, column] == pytest.approx(np.corrcoef(unit, number)[0, 1], abs=EXACT)


def test_the_largest_strength_is_one_and_a_constant_unit_has_none() -> None:
    feature = np.array([0.0, 0, 1, 1, 0])
    units = np.stack([feature * 3 + 1, -feature, np.full(5, 0.7)], axis=1)
    assert strengths(units, feature[:, None], np.array([True]))[:, 0] == pytest.approx([1, -1, 0])
    assert strengths(units, np.arange(5.0)[:, None] ** 3, np.array([False]))[2, 0] == 0


@pytest.mark.parametrize("name", CELLS)
def test_the_first_half_chooses_and_the_second_half_gives_the_score(name: str) -> None:
    checkpoint = untrained_checkpoint(LETTERS, num_layers=2, **form(CELLS[name]))
    found = find_units(checkpoint, IDS)
    read = trace(checkpoint.network, checkpoint.weights, IDS)
    memory = np.concatenate([layer.after[layer.memory_name] for layer in read.layers], axis=1)
    half = len(IDS) // 2
    for tracked in found.features:
        best = tracked.found
        if best.binary:
            values = text_features(TEXT)[best.feature].values
            scores = [auc(unit[:half], values[:half]) for unit in memory.T]
            row = int(np.abs(np.array(scores) - 0.5).argmax())
            assert best.unit == (row // 8 + 1, row % 8 + 1)
            later = auc(memory[half:, row], values[half:])
            assert best.score == pytest.approx(later if scores[row] > 0.5 else 1 - later, abs=1e-6)
    assert len(found.units) == 16
    assert {each.unit for each in found.units} == {(layer, unit) for layer in (1, 2) for unit in range(1, 9)}
    np.testing.assert_array_equal(found.activity, np.stack([layer.activity for layer in read.layers]))


def test_the_control_is_the_network_as_training_began() -> None:
    checkpoint = untrained_checkpoint(LETTERS)
    began = initialize(checkpoint.network, np.random.default_rng(checkpoint.record.training.seed))
    checkpoint.weights.update(began)
    for tracked in find_units(checkpoint, IDS).features:
        assert tracked.untrained == tracked.found
        assert tracked.gain == 0


def test_only_features_that_change_in_both_halves_count() -> None:
    checkpoint = untrained_checkpoint(LETTERS)
    names = names_of(find_units(checkpoint, IDS))
    assert {"after a vowel", "position in the line", "capital letter"} <= names
    assert names.isdisjoint({"inside quotes", "inside brackets", "indentation"})
    half_quoted = Vocabulary(VocabularyKind.CHARACTERS, "".join(sorted({*TEXT, '"'})))
    quoted = '"fox" ' * 60 + TEXT
    found = find_units(untrained_checkpoint(half_quoted), half_quoted.encode(quoted))
    assert "inside quotes" not in names_of(found)


def test_only_features_of_enough_tokens_count() -> None:
    checkpoint = untrained_checkpoint(LETTERS)
    for digits, counts in ((MIN_TOKENS - 1, False), (MIN_TOKENS, True)):
        text = ("fox 1 " * digits + "old fox. " * 20) * 2
        assert ("in a number" in names_of(find_units(checkpoint, LETTERS.encode(text)))) == counts


def feature_of(present: list[int] | str) -> Feature:
    return Feature(np.array([int(value) for value in present], float), binary=True)


def test_the_excerpt_is_rich_in_the_feature_and_begins_with_a_line() -> None:
    line = "x" * 99 + "\n"
    text, often = line * 80, [0] * 8000
    often[6500:7100] = [1, 0] * 300  # in the second half
    found = excerpt(feature_of(often), text)
    assert found.stop - found.start == EXCERPT and found.start % 100 == 0 and found.start >= 4000
    assert sum(often[found]) == 300
    assert excerpt(feature_of([1] * 1300 + [0] * 6700), text) == slice(4000, 5200)  # only in the first half
    assert excerpt(feature_of("0110"), "abcd") == slice(2, 4)
    assert excerpt(Feature(np.array([0, 1, 2, 0, 1, 2, 3, 0.0]), binary=False), "x" * 8) == slice(4, 8)


@pytest.mark.parametrize("name", CELLS)
def test_features_are_ordered_by_what_a_reader_sees(name: str) -> None:
    found = find_units(untrained_checkpoint(LETTERS, num_layers=2, **form(CELLS[name])), IDS)
    orders = [each.order for each in found.features]
    assert orders == sorted(orders, reverse=True)
    assert all(each.found.strength >= MIN_STRENGTH for each in found.features)
    for each in found.features:
        part, unit = found.excerpts[each.found.feature], each.found.unit
        values = text_features(TEXT)[each.found.feature].values[part]
        present = values > (0 if each.found.binary else np.median(values))
        colours = found.activity[unit.layer - 1, part, unit.unit - 1]
        difference = abs(colours[present].mean() - colours[~present].mean()) if 0 < present.sum() < len(present) else 0
        assert each.contrast == pytest.approx(difference / 2, abs=1e-6)


def test_what_no_unit_tracks_is_said_without_a_score() -> None:
    checkpoint = untrained_checkpoint(LETTERS)
    for weight in checkpoint.weights.values():
        weight[:] = 0  # so that no unit ever changes
    found = find_units(checkpoint, IDS)
    assert found.features == ()
    assert "capital letter" in found.untracked
    said = str(units_report(found, "character"))
    assert "capital letter" in said and "0." not in said
    assert list(unit_text(found, list(TEXT), None)) == []
    heading, *_ = unit_text(found, list(TEXT), Unit(1, 3))
    assert "none" in heading and "0." not in heading


def test_a_text_without_features_is_refused() -> None:
    with pytest.raises(TextError):
        find_units(untrained_checkpoint(LETTERS), IDS[:6])


def test_each_byte_is_one_character() -> None:
    assert one_character_each(Vocabulary(VocabularyKind.BYTES), np.array([65, 0xC3, 0xA9])) == "A\ufffd\ufffd"


# Features of a text, each from the text alone


def feature_values(name: str, text: str) -> list[int]:
    return [int(value) for value in text_features(text)[name].values]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("inside quotes", 'a "bc" d', "00111000"),
        ("inside quotes", "\u201cHi\u201d he", "1110000"),
        ("inside quotes", '"never closed\n\nbut this is new', "1" * 14 + "0" * 16),
        ("inside quotes", '"""a\n\n"b""" "" c', "1011111111001000"),
        ("inside brackets", "f(a[0], b) c", "011111111000"),
        ("inside brackets", ")(x)", "0110"),
        ("inside brackets", "(x\n\ny", "11100"),
        ("inside a comment", "x = 1 # one\ny", "0000001111100"),
        ("inside a comment", "x; // one\ny", "00001111100"),
        ("inside a comment", "http://a.b c", "000000000000"),
        ("inside a web address", "see https://a.b/c now", "0" * 12 + "1" * 5 + "0" * 4),
        ("inside a tag", "a <b>c</b> 1 < 2", "0001000110000000"),
        ("inside a word", "it's 4 me.", "1111010110"),
        ("in a word of capitals", "I am THE king", "0000001100000"),
        ("in a number", "in 1984.", "00011110"),
        ("capital letter", "The Fox", "1000100"),
        ("after a vowel", "Alas, you", "101000011"),
        ("after a space", "a b  c", "010110"),
        ("after punctuation", "No, no!", "0010001"),
        ("before the line's first word", "a\n  b c\n", "01110001"),
        ("indentation", "a\n  b c\nd", "001222200"),
        ("position in the line", "ab\ncd\n\ne", "12012001"),
        ("position in the word", "ab c, d", "1201001"),
        ("position in the sentence", "No. Go!", "1201230"),
        ("position in the paragraph", "a\nb\n\nc", "123401"),
    ],
)
def test_a_feature_is_what_it_says(name: str, text: str, expected: str) -> None:
    assert feature_values(name, text) == [int(digit) for digit in expected]


@pytest.mark.parametrize("text", ["", "x", "\n\n", "a\t\u2029\ufffd\U0001f642"])
def test_every_text_has_every_feature_at_each_character(text: str) -> None:
    for feature in text_features(text).values():
        assert feature.values.shape == (len(text),)
        assert not feature.binary or set(feature.values) <= {0, 1}


def test_a_feature_does_not_see_the_future() -> None:
    text = 'if (x):  # "A" note\n    Say 10 WORDS. <p> http://a.b\n\n'
    whole = text_features(text)
    for end in range(len(text)):
        for name, feature in text_features(text[:end]).items():
            np.testing.assert_array_equal(feature.values, whole[name].values[:end], name)
