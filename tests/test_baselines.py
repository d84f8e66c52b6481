"""The baselines: their numbers by an independent computation, and that they predict what a network predicts."""

import bz2
import math
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lstmgen.config import VocabularyKind
from lstmgen.evaluation.baselines import Baseline, BaselineKind, baselines, bz2_added_bytes, in_random_order
from lstmgen.evaluation.confidence import Blocks
from lstmgen.evaluation.ngram import Alphabet, fit
from lstmgen.evaluation.score import Score, add_up, exact_protocol, predict
from lstmgen.language_model import LanguageModel
from lstmgen.text.vocabulary import Ids, Vocabulary
from tests.command_line import untrained_checkpoint

BYTES = Vocabulary(VocabularyKind.BYTES)
LETTERS = Vocabulary(VocabularyKind.CHARACTERS, "\nabcé")
TRAINING = "abc\nab\n\nbca\né\n" * 3
TEXTS = ["ab\nc\n", "ab\nc", "\n\nab\n\n\nc\n\n", "abcab", "é\n", "c"]
MODELS = {lines: LanguageModel(untrained_checkpoint(LETTERS, lines=lines)) for lines in (False, True)}
COMPRESSORS = ("bz2", "xz", "gzip")


def all_of(training: str, text: str, *, lines: bool = False, **limits: int) -> dict[str, Baseline]:
    found = baselines(LETTERS.encode(training), LETTERS.encode(text), LETTERS, lines=lines, **limits)
    return {baseline.name: baseline for baseline in found}


def of_bytes(training: Ids, text: Ids, **limits: int) -> dict[str, float]:
    """Bits per byte."""
    found = baselines(training, text, BYTES, lines=False, **limits)
    return {baseline.name: baseline.bits_per_character for baseline in found}


def random_bytes(count: int, seed: int = 0) -> Ids:
    return np.random.default_rng(seed).integers(0, 256, count).astype(np.uint8)


def networks_score(text: str, *, lines: bool) -> tuple[Score, Blocks]:
    ids, model = LETTERS.encode(text), MODELS[lines]
    blocks = Blocks(len(ids))
    return add_up(predict(model.engine, exact_protocol(ids, model.end_token)), blocks), blocks


def as_read(text: str) -> str:
    """What a network of lines reads: a line feed, then each line that is not empty and its line feed."""
    return "\n" + "".join(line + "\n" for line in text.split("\n") if line)


def test_the_best_informed_baselines_come_first() -> None:
    found = all_of(TRAINING, "abcab", min_compressed=0)
    counting = f"{fit(LETTERS.encode(TRAINING), Alphabet(5)).order}-gram model"
    assert list(found) == [counting, *COMPRESSORS, "character frequencies", "uniform, 5 characters"]
    kinds = [BaselineKind.NGRAMS, *[BaselineKind.COMPRESSOR] * 3, BaselineKind.FREQUENCIES, BaselineKind.UNIFORM]
    assert [baseline.kind for baseline in found.values()] == kinds
    assert [name for name, baseline in found.items() if baseline.blocks] == [counting]
    assert next(iter(all_of("", "abcab", min_compressed=0))) == "bz2"  # nothing to count


@pytest.mark.parametrize(
    ("text", "lines"), [*((text, True) for text in TEXTS), *((text, False) for text in TEXTS[:-1])]
)
def test_each_predicts_the_tokens_that_a_network_predicts(text: str, lines: bool) -> None:
    score, _ = networks_score(text, lines=lines)
    assert score.characters == MODELS[lines].score_ids(LETTERS.encode(text)).characters
    found = all_of(TRAINING, text, lines=lines, min_compressed=0)
    packed = found["gzip"]
    learned, read = (LETTERS.encode(as_read(each) if lines else each) for each in (TRAINING, text))
    if not lines:  # the order of lines is random
        packer = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=TRAINING.encode())
        size = len(packer.compress(text.encode()) + packer.flush())
        assert packed.nats_per_character == pytest.approx(8 * size * math.log(2) / score.characters)

    counts = np.bincount(learned, minlength=5) + 0.5
    expected = -np.log(counts / counts.sum())[read[1:]].mean()
    assert found["character frequencies"].nats_per_character == pytest.approx(expected)
    assert found["uniform, 5 characters"].nats_per_character == math.log(5)


@given(st.text("\nab", min_size=2, max_size=350), st.booleans())
@settings(deadline=None, max_examples=40)
def test_counting_knows_where_in_the_text_its_tokens_stand_as_a_network_does(text: str, lines: bool) -> None:
    assume(not lines or text.strip("\n"))
    score, blocks = networks_score(text, lines=lines)
    counting = next(baselines(LETTERS.encode(TRAINING), LETTERS.encode(text), LETTERS, lines=lines))
    assert counting.blocks is not None
    assert np.array_equal(counting.blocks.characters, blocks.characters)
    assert counting.blocks.characters.sum() == score.characters
    assert counting.nats_per_character == counting.blocks.nats_per_character


# Compressors


def test_what_the_training_text_contains_costs_xz_next_to_nothing() -> None:
    training = random_bytes(60_000) // 4
    early, late = of_bytes(training, training[5000:15_000]), of_bytes(training, training[-15_000:-5000])
    assert early["xz"] < 0.3
    assert late["xz"] < 0.3
    assert late["gzip"] < 0.3
    assert early["gzip"] > 6  # farther back than it can look


def test_a_compressor_begins_with_what_it_learned_from_the_training_text() -> None:
    training = np.frombuffer(b"the fox saw the grapes, and the fox leapt. " * 50, np.uint8)
    text = np.frombuffer(b"the grapes saw the fox leapt. ", np.uint8)
    knowing, ignorant = (of_bytes(known, text, min_compressed=0) for known in (training, training[:0]))
    for name in COMPRESSORS:
        assert 0 <= knowing[name] < 0.5 * ignorant[name]
    both, alone = (len(bz2.compress(part.tobytes())) for part in (np.concatenate([training, text]), training))
    assert knowing["bz2"] == pytest.approx(8 * (both - alone) / (len(text) - 1))


@pytest.mark.parametrize("training", ["", "a", "ab"])
def test_no_baseline_needs_less_than_nothing(training: str) -> None:
    def needed() -> Iterator[float]:
        for text in ("ab", "aa", "abcabcabc"):
            yield from (baseline.nats_per_character for baseline in all_of(training, text).values())

    assert min(needed()) >= 0


def test_bz2_is_given_the_end_of_the_training_text_that_fits_next_to_the_text() -> None:
    training, text = random_bytes(3000).tobytes(), random_bytes(500, seed=1).tobytes()
    expected = bz2_added_bytes(training[-1000:], [text])
    assert bz2_added_bytes(training, [text], block=1500) == expected


@pytest.mark.parametrize(("tokens", "expected"), [(1000, ()), (1001, COMPRESSORS)])
def test_compressors_are_left_out_for_a_short_text(tokens: int, expected: tuple[str, ...]) -> None:
    assert tuple(of_bytes(random_bytes(3000), random_bytes(tokens, seed=1)))[1:-2] == expected


# Lists


def names(count: int) -> list[str]:
    """Different words of two to eight letters, in the order of the alphabet."""
    generator = np.random.default_rng(0)
    lengths = generator.integers(2, 9, 2 * count)
    return sorted({"".join(generator.choice(list("abcé"), length)) for length in lengths})[:count]


def of_list(training: list[str], text: list[str]) -> dict[str, float]:
    """Bits per character."""
    found = all_of("".join(f"{line}\n" for line in training), "".join(f"{line}\n" for line in text), lines=True)
    return {name: baseline.bits_per_character for name, baseline in found.items()}


def test_a_sorted_list_and_the_same_list_shuffled_have_the_same_baselines() -> None:
    every = names(4000)
    is_validation = np.random.default_rng(1).random(len(every)) < 0.25
    parts = [
        [line for line, out in zip(every, is_validation, strict=True) if out == validation] for validation in (0, 1)
    ]
    shuffled = [list(np.random.default_rng(2).permutation(part)) for part in parts]
    by_alphabet, at_random = of_list(*parts), of_list(*shuffled)
    assert by_alphabet.keys() == at_random.keys()
    for name in ("xz", "gzip", *(name for name in by_alphabet if name not in COMPRESSORS)):
        assert by_alphabet[name] == pytest.approx(at_random[name], rel=0.03)
    as_running_text = all_of("\n".join(parts[0]), "\n".join(parts[1]))
    assert as_running_text["xz"].bits_per_character < 0.9 * by_alphabet["xz"]  # where the order of lines can be seen


@given(st.lists(st.text("abcé\n", max_size=6), max_size=30), st.integers(0, 5))
def test_a_list_in_random_order_has_the_same_lines(pieces: list[str], seed: int) -> None:
    read = as_read("\n".join(pieces))
    shuffled = LETTERS.decode(in_random_order(LETTERS.encode(read), 0, seed))
    assert shuffled[0] == "\n"
    assert sorted(shuffled.split("\n")) == sorted(read.split("\n"))
    assert len(shuffled) == len(read)


def test_a_list_that_is_evaluated_on_itself_is_not_one_long_repetition() -> None:
    every = names(2000)
    lines_alone = math.log2(len(every)) * len(every) / sum(len(line) + 1 for line in every)
    assert of_list(every, every)["xz"] > lines_alone / 2  # its lines come in another order


def test_the_order_of_the_ngrams_is_not_chosen_at_the_end_of_a_sorted_list() -> None:
    alike = [a + b * 4 for a in "abc" for b in ["ab", "ba", "bc", "ca", "ac", "cb"] for _ in range(40)]
    unlike = sorted("é" + "".join(letters) for letters in np.random.default_rng(0).choice(list("abc"), (100, 8)))
    text = "".join(f"{line}\n" for line in alike + unlike)
    chosen = int(next(iter(all_of(text, text, lines=True))).split("-")[0])
    assert chosen > fit(LETTERS.encode(as_read(text)), Alphabet(5, 0)).order
