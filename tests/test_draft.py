"""A text that a person and a model write: pieces that are added, undone, tried again and shortened."""

from pathlib import Path

import numpy as np
import pytest

from lstmgen.config import SamplingConfig
from lstmgen.draft import Draft
from lstmgen.errors import UnknownCharacterError
from lstmgen.language_model import LanguageModel, load
from tests.command_line import untrained_run


@pytest.fixture
def model(trained_folder: Path) -> LanguageModel:
    return load(trained_folder / "checkpoints" / "fable")


def begin(model: LanguageModel, prompt: str = "The fox", length: int = 12, temperature: float = 1.0) -> Draft:
    return Draft(model, model.read_prompt(prompt), SamplingConfig(length=length, temperature=temperature), seed=5)


def text(model: LanguageModel, draft: Draft) -> str:
    return model.vocabulary.decode(draft.ids)


def test_both_take_turns_writing(model: LanguageModel) -> None:
    draft = begin(model)
    draft.write(" saw")
    proposed = model.vocabulary.decode(np.array(list(draft.propose())))
    assert text(model, draft) == "The fox saw" + proposed
    assert len(proposed) >= 12
    rest = proposed[11:]
    assert not rest.rstrip("\n").count(" ") or rest == " "  # it ends where a word or a line ends


def test_a_proposal_depends_on_all_the_text_before_it(model: LanguageModel) -> None:
    """At temperature 0 the result is the same as for one prompt with the whole text."""
    draft = begin(model, length=20, temperature=0.0)
    draft.write(" hung")
    first = list(draft.propose())
    draft.write(" The")
    second = list(draft.propose())
    halfway = model.sample("The fox hung", length=len(first), temperature=0.0)
    assert text(model, draft) == model.sample(halfway + " The", length=len(second), temperature=0.0)


def test_undo_removes_one_piece_at_a_time(model: LanguageModel) -> None:
    draft = begin(model)
    states = [text(model, draft)]
    for words in (" a", " s"):
        draft.write(words)
        states.append(text(model, draft))
        list(draft.propose())
        states.append(text(model, draft))
    alternatives = draft.alternatives(5)
    list(draft.propose())
    assert draft.undo() is not None
    assert draft.alternatives(5) == alternatives
    for before in reversed(states):
        assert text(model, draft) == before
        draft.undo()
    assert draft.undo() is None


def test_another_try_writes_something_else_and_the_same_seed_writes_the_same(model: LanguageModel) -> None:
    first, second = begin(model, length=40), begin(model, length=40)
    written = list(first.propose())
    first.undo()
    assert list(first.propose()) != written
    assert list(second.propose()) == written


def test_an_interrupted_proposal_keeps_the_tokens_it_yielded(model: LanguageModel) -> None:
    draft = begin(model)
    proposal = draft.propose()
    shown = [next(proposal) for _ in range(4)]
    proposal.close()
    assert draft.ids[-4:].tolist() == shown
    assert len(draft.ids) == len("The fox") + 4


@pytest.mark.parametrize(("count", "kept"), [(0, ""), (1, " grapes"), (2, " grapes  hung"), (9, " grapes  hung high.")])
def test_words_are_kept_with_the_white_space_before_them(model: LanguageModel, count: int, kept: str) -> None:
    draft = begin(model)
    draft.write(" grapes  hung high. ")
    draft.keep_words(count)
    assert text(model, draft) == "The fox" + kept


def test_alternatives_are_the_models_probabilities(model: LanguageModel) -> None:
    alternatives = begin(model).alternatives(len(model.vocabulary))
    probabilities = [probability for _, probability in alternatives]
    assert sum(probabilities) == pytest.approx(1, abs=1e-5)
    assert probabilities == sorted(probabilities, reverse=True)
    before = model.score("The fox").nats
    for number, probability in alternatives[:3]:
        nats = model.score("The fox" + model.vocabulary.decode(np.array([number]))).nats - before
        assert -np.log(probability) == pytest.approx(nats, rel=1e-3)


def test_an_unknown_character_changes_nothing(model: LanguageModel) -> None:
    draft = begin(model)
    with pytest.raises(UnknownCharacterError):
        draft.write(" Ω")
    assert text(model, draft) == "The fox"


def test_a_draft_of_a_model_of_lines_has_no_line_feed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = load(untrained_run("names", "abc\n", lines=True))
    draft = begin(model, "ab", length=200)
    list(draft.propose())
    assert "\n" not in text(model, draft)
