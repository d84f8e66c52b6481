"""Features of a text, each from the text alone."""

import numpy as np
import pytest

from lstmgen.inspection.features import text_features


def values(name: str, text: str) -> list[int]:
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
    assert values(name, text) == [int(digit) for digit in expected]


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
