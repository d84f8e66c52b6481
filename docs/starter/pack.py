"""Make the starter model of the package from the run trained on the prepared text: python pack.py RUN TEXT."""

import string
import sys
from dataclasses import replace
from pathlib import Path

from lstmgen.checkpoint import BEST, STARTERS, Checkpoint, find_checkpoint, load_checkpoint, to_bytes
from lstmgen.config import TextConfig, VocabularyKind
from lstmgen.evaluation.novelty import words
from lstmgen.evaluation.starter import WORDS
from lstmgen.files import replace_file
from lstmgen.text.corpus import read_corpus
from lstmgen.text.vocabulary import Vocabulary
from lstmgen.training.fine_tuning import BaseModel

TYPED = (
    "\t\n"
    + string.printable[:95]
    + "àâäáãåçéèêëíìîïñóòôöõøúùûüýÿæœßÀÂÄÁÃÅÇÉÈÊËÍÌÎÏÑÓÒÔÖÕØÚÙÛÜÝÆŒ"
    + "‘’‚“”„«»‹›–—―‐…•·†‡§¶©®™°±×÷½¼¾²³£€¥¢¿¡"
)
"""The characters that English writers type, even if the books lack them."""

NAME = "18-english-books"


def main(run: str, text: str) -> None:
    """Write the run's best weights in 8 bits, with all characters that English writers type in the vocabulary."""
    trained = load_checkpoint(find_checkpoint(run))
    vocabulary = trained.vocabulary.union(Vocabulary(VocabularyKind.CHARACTERS, TYPED))
    corpus = read_corpus(TextConfig(sources=(text,)), vocabulary)
    weights = BaseModel(trained, run).weights(vocabulary, corpus.ids, seed=0)
    record = replace(trained.record, text=replace(trained.record.text, sources=(NAME,)))
    starter = Checkpoint(trained.model, vocabulary, weights, record)
    path = STARTERS / "english" / BEST
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, to_bytes(starter, in_8_bits=True))
    words_read = sorted(words(vocabulary.decode(corpus.ids)))
    replace_file(path.with_name(WORDS), "\n".join(words_read).encode())
    print(f"{path}: {path.stat().st_size:,} bytes, {len(vocabulary)} characters, {record.validation_nats} nats")


if __name__ == "__main__":
    main(sys.argv[1], str(Path(sys.argv[2])))
