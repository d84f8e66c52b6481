"""Each filter does what its docstring promises, for any logits and any text."""

import dataclasses
import math
import re
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lstmgen.config import FinishReason, SamplingConfig, VocabularyKind
from lstmgen.errors import ConfigError
from lstmgen.generation.filters.base import Filter, History
from lstmgen.generation.filters.likelihood import min_p, temperature, top_k, top_p, word_temperature
from lstmgen.generation.filters.match import Automaton
from lstmgen.generation.sampler import Sample, collect, keep_best
from lstmgen.language_model import LanguageModel
from lstmgen.text.suffixes import SuffixIndex
from lstmgen.text.vocabulary import Vocabulary
from tests.command_line import untrained_checkpoint

LETTERS = Vocabulary(VocabularyKind.CHARACTERS, "\n 12abc")
NOTHING = History(np.zeros(0, np.int64), 1, 0)

some_logits = st.lists(
    st.floats(-30, 30, width=32, allow_subnormal=False) | st.just(-math.inf) | st.sampled_from([0.0, 1.0]),
    min_size=1,
    max_size=9,
)


def array(logits: Sequence[float]) -> NDArray[np.float32]:
    return np.array([logits], np.float32)


def kept(logits: NDArray[np.float32]) -> set[int]:
    return set(np.flatnonzero(logits[0] > -np.inf).tolist())


def probabilities(logits: Sequence[float]) -> NDArray[np.float64]:
    likelihood = np.exp(np.array(logits, np.float64) - max(logits))
    return likelihood / likelihood.sum()  # type: ignore[no-any-return]  # its type is known, but not to mypy


@given(logits=some_logits, count=st.integers(1, 12))
def test_top_k_keeps_the_most_likely_and_their_ties(logits: list[float], count: int) -> None:
    after = kept(top_k(count).apply(array(logits), NOTHING))
    limit = sorted(logits, reverse=True)[min(count, len(logits)) - 1]
    assert after == {token for token, logit in enumerate(logits) if logit >= limit and logit > -math.inf}


@given(logits=some_logits, least=st.floats(0, 1))
def test_top_p_keeps_the_fewest_that_reach_the_probability(logits: list[float], least: float) -> None:
    assume(max(logits) > -math.inf)
    after = kept(top_p(least).apply(array(logits), NOTHING))
    probability = probabilities(logits)
    assert probability[sorted(after)].sum() >= least - 1e-6
    smallest = min(probability[token] for token in after)
    fewer = [token for token in after if probability[token] > smallest]
    assert len(fewer) == 0 or probability[fewer].sum() < least + 1e-6
    assert all(probability[token] <= smallest for token in set(range(len(logits))) - after)


@given(logits=some_logits, fraction=st.floats(0, 1))
def test_min_p_keeps_what_is_not_too_far_from_the_most_likely(logits: list[float], fraction: float) -> None:
    assume(max(logits) > -math.inf)
    after = kept(min_p(fraction).apply(array(logits), NOTHING))
    probability = probabilities(logits)
    for token, logit in enumerate(logits):
        ratio = probability[token] / probability.max()
        if logit > -math.inf and not math.isclose(ratio, fraction, rel_tol=1e-4, abs_tol=1e-9):
            assert (token in after) == (ratio > fraction)


@given(logits=some_logits, choice=st.sampled_from([top_k(2), top_p(0.5), min_p(0.2)]))
def test_truncation_changes_nothing_of_what_it_keeps(logits: list[float], choice: Filter) -> None:
    before = array(logits)
    after = choice.apply(before.copy(), NOTHING)
    assert all(after[0, token] == before[0, token] for token in kept(after))
    assert (max(logits) == -math.inf) == (len(kept(after)) == 0)


@given(logits=some_logits, heat=st.floats(0, 100))
def test_temperature_keeps_the_order_and_brings_nothing_back(logits: list[float], heat: float) -> None:
    before = array(logits)
    after = temperature(heat).apply(before, NOTHING)
    assert not np.isnan(after).any()
    assert kept(after) <= kept(before)
    if kept(before):
        assert before[0, after[0].argmax()] == before.max()


def test_a_word_may_begin_at_another_temperature() -> None:
    """Three rows: inside a word, after a space, and at the beginning of a text."""
    logits: NDArray[np.float32] = np.tile(np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0], np.float32), (3, 1))
    history = History(np.zeros(0, np.int64), 3, length=1)
    history.tails = [chr(4), chr(1), ""]
    after = word_temperature(2.0, 0.5, LETTERS.word_tokens()).apply(logits, history)
    assert np.ptp(after, axis=-1).tolist() == [12.0, 3.0, 3.0]


class Uniform(LanguageModel):
    """A model for which all of `LETTERS` are equally likely but for the bias; it was trained on the given text."""

    def __init__(self, training: str = "", *, lines: bool = False, bias: Sequence[float] = (0,) * len(LETTERS)) -> None:
        checkpoint = untrained_checkpoint(LETTERS, lines=lines)
        weights = {name: np.zeros_like(array) for name, array in checkpoint.weights.items()}
        weights["head.bias"] = np.array(bias, np.float32)
        super().__init__(dataclasses.replace(checkpoint, weights=weights))
        self._training_index = SuffixIndex.build(LETTERS.encode(training).astype(np.uint8))


ANY = LanguageModel(untrained_checkpoint(LETTERS))  # it has random weights


def drawn(model: LanguageModel, config: SamplingConfig, prompt: str = "", seed: int = 3) -> list[Sample]:
    return collect(model.draw(model.read_prompt(prompt), config, seed), config.samples * config.best_of)


def texts(samples: list[Sample]) -> list[str]:
    return [LETTERS.decode(np.array(sample.ids, np.int64)) for sample in samples]


some_text = st.text(LETTERS.characters, max_size=30)


@given(length=st.integers(1, 6), prompt=some_text, heat=st.sampled_from([0.0, 0.5, 1.0]))
@settings(max_examples=40, deadline=None)
def test_no_run_is_written_twice(length: int, prompt: str, heat: float) -> None:
    """Runs of the prompt are not written again either; a stuck sample has used up every continuation."""
    for sample in drawn(ANY, SamplingConfig(length=120, temperature=heat, no_repeat=length, samples=2), prompt):
        text = prompt + texts([sample])[0]
        runs = [text[start : start + length] for start in range(len(text) - length + 1)]
        new = runs[max(0, len(prompt) - length + 1) :]
        assert len(set(new)) == len(new)
        assert not set(new) & set(runs[: len(runs) - len(new)])
        if sample.finish_reason is FinishReason.STUCK:
            assert all(text[len(text) - length + 1 :] + token in runs for token in LETTERS.characters)
        else:
            assert len(sample.ids) == 120


@given(length=st.integers(1, 6), prompt=some_text, training=st.text(LETTERS.characters, max_size=400))
@settings(max_examples=40, deadline=None)
def test_nothing_longer_is_copied(length: int, prompt: str, training: str) -> None:
    """Each run of `length` + 1 tokens that ends in the sample is searched for in the training text."""
    for sample in drawn(Uniform(training), SamplingConfig(length=60, max_copy=length, samples=2), prompt):
        text = prompt + texts([sample])[0]
        for end in range(max(len(prompt), length) + 1, len(text) + 1):
            assert text[end - length - 1 : end] not in training
        if sample.finish_reason is FinishReason.STUCK:
            assert all(text[-length:] + token in training for token in LETTERS.characters)


EXPRESSIONS = {
    "[12]{4} [12]{2}": 7,
    "(abc|ba)*c": 1,
    "a.*b": 2,
    "[^ ]+( [^ ]+){2}": 5,
    "a?": 0,
    "": 0,
    ".{0,3}(aa|bb)": 2,
    r"\d+\s\w*": 2,
    "^a+$": 1,
    "((a|b)c?){3,5}": 3,
    "[a-z]+[^a-z\n]": 2,
    "(?i)ABC+": 3,
}
"""Each with the length of its shortest match."""


@pytest.mark.parametrize("heat", [0.0, 1.0, 5.0])
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_the_whole_sample_matches_however_long_it_may_be(expression: str, heat: float) -> None:
    shortest = EXPRESSIONS[expression]
    for length in (shortest, shortest + 1, 20, 60):
        samples = drawn(ANY, SamplingConfig(length=length, match=expression, temperature=heat, samples=5))
        for sample, text in zip(samples, texts(samples), strict=True):
            assert re.fullmatch(expression, text), text
            assert sample.finish_reason in (FinishReason.MATCH, FinishReason.LENGTH)
            assert len(text) <= length
    if shortest:
        with pytest.raises(ConfigError, match="`length`"):
            drawn(ANY, SamplingConfig(match=expression, length=shortest - 1))


def test_a_match_ends_with_the_probability_of_all_tokens_that_cannot_continue_it() -> None:
    """Seven likelihoods, with a and b still open, compared over many samples."""
    model = Uniform(bias=np.log([1, 1, 1, 1, 2, 3, 1]).tolist())
    config = SamplingConfig(length=50, match="[ab]*", temperature=1.0, samples=4000)
    samples = drawn(model, config, seed=1)
    lengths = np.array([len(sample.ids) for sample in samples])
    assert lengths.mean() == pytest.approx(1.0, abs=4 * math.sqrt(2 / config.samples))  # it ends with 1/2 each time
    ids = np.concatenate([np.array(sample.ids, np.int64) for sample in samples])
    assert (ids == 4).mean() == pytest.approx(0.4, abs=4 * math.sqrt(0.24 / len(ids)))


def test_a_model_of_lines_ends_a_match_itself() -> None:
    samples = drawn(Uniform(lines=True), SamplingConfig(length=60, match="[abc]+2", temperature=1.0, samples=30))
    for sample, text in zip(samples, texts(samples), strict=True):
        assert re.fullmatch("[abc]+2\n?", text)
        assert text.endswith("\n") == (sample.finish_reason is FinishReason.LINE)
    assert {sample.finish_reason for sample in samples} == {FinishReason.LINE}


@pytest.mark.parametrize("expression", ["é+", "[d-z]", "a{5}d", "[^\n 12abc]"])
def test_a_match_that_needs_unknown_characters_is_refused(expression: str) -> None:
    with pytest.raises(ConfigError, match="`match`"):
        drawn(ANY, SamplingConfig(match=expression))


@pytest.fixture(scope="module")
def cased() -> dict[str, set[str]]:
    """Each character that case relates to others, with all to which a chain of case changes leads."""
    groups: dict[str, set[str]] = {}
    for code in range(0x110000):
        character = chr(code)
        forms = {character.lower(), character.upper(), character.title(), character.casefold()} - {character}
        if forms:
            together = {character}.union(*(groups.get(form, {form}) for form in forms if len(form) == 1))
            together |= groups.get(character, set())
            groups |= dict.fromkeys(together, together)
    return groups


@pytest.mark.parametrize("form", ["{}", "[{}]", "[^{}]", "[a{}-{}]", "[^{}-{}0-9]", r"[^\W{}]", r"(?a:[^{}\d])"])
def test_upper_and_lower_case_are_those_of_re(form: str, cased: dict[str, set[str]]) -> None:
    """For each character that has another case; most others of a vocabulary are unrelated to it."""
    assert len(cased) > 2_700
    others = "\n aKsiI0_\xdf\u0131\u017f\u212a"
    for character, related in cased.items():
        vocabulary = "".join(related.union(others))
        expression = "(?i)" + form.replace("{}", character)
        expected = re.compile(expression)
        automaton = Automaton(expression, vocabulary)
        found = automaton.allowed(automaton.start, 1).tolist()
        assert found == [expected.fullmatch(each) is not None for each in vocabulary], expression


@pytest.mark.parametrize(
    "expression", [r"\w", r"\W", r"\d", r"\D", r"\s", r"\S", ".", r"[^\w\s]", "[a-zà-ÿ]", "[^µ-ω]"]
)
@pytest.mark.parametrize("flags", ["", "(?i)", "(?a)", "(?ai)", "(?s)", "(?u)"])
def test_classes_are_those_of_re(expression: str, flags: str, cased: dict[str, set[str]]) -> None:
    vocabulary = "".join(cased)[::7] + "\n\t\xa0\u2028\u0663\u4e00_09"
    automaton = Automaton(flags + expression, vocabulary)
    expected = re.compile(flags + expression)
    found = automaton.allowed(automaton.start, 1).tolist()
    assert found == [expected.fullmatch(character) is not None for character in vocabulary]


UNSUPPORTED = [(r"\bthe\b", r"\b"), (r"a\Bb", r"\B"), ("a(^b|c)", "^"), ("(a$)", "$"), (r"a\Ab", r"\A")]
UNSUPPORTED += [("a(?=b)", "(?=...)"), ("a(?!b)", "(?!...)"), ("(?<=a)b", "(?<=...)"), ("(?<!a)b", "(?<!...)")]
UNSUPPORTED += [("a(?!)", "(?!...)"), (r"(a)\1", r"\1"), ("(?P<x>a)(?P=x)", "(?P=x)"), (r"(?P<x>a)\1", r"\1")]
UNSUPPORTED += [("(a)?(?(1)b|c)", "(?(1)...)"), ("(?P<x>a)?(?(x)b)", "(?(x)...)"), ("(?>a)b", "(?>...)")]
UNSUPPORTED += [(f"a{repeat}", repeat) for repeat in ("*+", "++", "?+", "{2,3}+", "{2}+", "{,3}+")]


@pytest.mark.parametrize(("expression", "part"), UNSUPPORTED)
def test_a_part_that_is_not_supported_is_named_as_it_is_written(expression: str, part: str) -> None:
    re.compile(expression)
    with pytest.raises(ConfigError, match="`match`") as refused:
        Automaton(expression, "abc")
    assert f" {part} " in str(refused.value)


TRAINING = "ab ab 12\nabc abc 21\n" * 3
UNIFORM = {lines: Uniform(TRAINING, lines=lines) for lines in (False, True)}
PATTERNS = [None, "a{5}", "[abc ]*", "(ab|ba)+", ".*2", "(?s:.)*", "[^a]{2,4}(a|12)", "(?i)A?B?[^C]{3}"]


@given(
    config=st.builds(
        SamplingConfig,
        length=st.sampled_from([5, 9, 40]),
        temperature=st.sampled_from([0.0, 0.7, 1.0]),
        word_temperature=st.sampled_from([None, 0.0, 1.5]),
        top_k=st.sampled_from([None, 1, 3]),
        top_p=st.sampled_from([None, 0.0, 0.3]),
        min_p=st.sampled_from([None, 0.05, 1.0]),
        no_repeat=st.sampled_from([None, 1, 2, 4]),
        max_copy=st.sampled_from([None, 1, 3]),
        match=st.sampled_from(PATTERNS),
        stop=st.sampled_from([(), ("a",), ("ab", "2\n"), ("baba",)]),
        samples=st.sampled_from([1, 3]),
        best_of=st.sampled_from([1, 3]),
    ),
    prompt=st.sampled_from(["", "ab", "12 c"]),
    lines=st.booleans(),
    seed=st.integers(0, 9),
)
def test_all_filters_together_keep_their_promises(config: SamplingConfig, prompt: str, lines: bool, seed: int) -> None:
    """A sample matches its expression, or says that it does not and why."""
    model = UNIFORM[lines]
    samples = drawn(model, config, prompt, seed)
    for sample, text in zip(samples, texts(samples), strict=True):
        item = text.removesuffix("\n") if sample.finish_reason is FinishReason.LINE else text
        unmatched = config.match is not None and not re.fullmatch(config.match, item)
        assert unmatched == (sample.finish_reason is FinishReason.UNMATCHED)
        assert not unmatched or config.no_repeat or config.max_copy or config.stop
        assert len(text) == config.length or sample.finish_reason is not FinishReason.LENGTH
        assert len(text) <= config.length and not any(stop in text for stop in config.stop)
        whole = prompt + text
        ends = range(len(prompt) + 1, len(whole) + 1)
        if runs := config.no_repeat:
            assert all(whole.find(whole[end - runs : end]) == end - runs for end in ends if end >= runs)
        if config.max_copy:
            cut = config.max_copy + 1
            assert all(whole[end - cut : end] not in TRAINING for end in ends if end >= cut)
    kept = keep_best(samples, config.best_of)
    for number, sample in enumerate(kept):
        if sample.finish_reason is FinishReason.UNMATCHED:
            group = samples[number * config.best_of :][: config.best_of]
            assert all(each.finish_reason is FinishReason.UNMATCHED for each in group)
    if any(sample.finish_reason is FinishReason.UNMATCHED for sample in kept):
        with pytest.raises(ConfigError, match=r"`match`.*`(no_repeat|max_copy|stop)`"):
            model.sample(prompt, seed=seed, **vars(config))
    else:
        assert model.sample(prompt, seed=seed, **vars(config)) == [prompt + text for text in texts(kept)]
