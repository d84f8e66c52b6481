"""The value of every parameter before training, and of new tokens' parameters before a training on another text.

Orthogonal recurrent blocks: Saxe et al. 2014. Forget bias 1: Gers et al. 2000; Jozefowicz et al. 2015.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lstmgen.network.architecture import Network
from lstmgen.text.vocabulary import Vocabulary

FloatArray = NDArray[np.float32]

_GATED = 0.5  # a cell with gates remembers without large recurrent weights, and they cover what it reads
_HEAD = 3  # the outputs of a new network are small; with a larger head it learns sooner from them
_NOISE = 0.1  # of the deviation of the old tokens' rows


def initialize(network: Network, generator: np.random.Generator) -> dict[str, FloatArray]:
    """Draw every parameter by name, float32.

    Recurrent blocks are orthogonal, and halved where a cell has gates. The head is uniform in ±3/√inputs, other
    matrices in ±1/√inputs. The embedding is normal with deviation 1, so that the first layer sees the tokens from the
    beginning; a tied one is the head too, and has deviation 3/√size. Biases and peepholes are zero, but the forget
    gate's bias 1.
    """
    weights: dict[str, FloatArray] = {}
    for name, shape in network.shapes().items():
        parameter = name.rpartition(".")[2]
        if name == "embedding":
            drawn = generator.standard_normal(shape) * (_HEAD / np.sqrt(shape[1]) if network.tied else 1)
        elif parameter == "weight_hh":
            blocks = shape[0] // shape[1]
            drawn = np.concatenate([_orthogonal(shape[1], generator) for _ in range(blocks)])
            if blocks > 1:
                drawn *= _GATED
        elif len(shape) == 2:
            bound = _HEAD if name == "head.weight" else 1
            drawn = generator.uniform(-bound, bound, shape) / np.sqrt(shape[1])
        else:
            drawn = np.zeros(shape)
        weights[name] = drawn.astype(np.float32)
    for number, cell in enumerate(network.cells):
        if "forget" in cell.gate_names:
            blocks_of_bias = weights[f"layers.{number}.bias"].reshape(len(cell.gate_names), -1)
            blocks_of_bias[cell.gate_names.index("forget")] = 1
    return weights


def _orthogonal(size: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """A uniformly drawn orthogonal matrix, (size, size); Mezzadri 2007."""
    q, r = np.linalg.qr(generator.standard_normal((size, size)))
    return np.asarray(q * np.sign(np.diag(r)))


def grow(
    weights: Mapping[str, FloatArray], before: Vocabulary, after: Vocabulary, generator: np.random.Generator
) -> dict[str, FloatArray]:
    """The parameters of a network for a larger vocabulary: old tokens keep their rows of the embedding and of the head.

    A new token begins with the rows of an old one that looks like it: é as e, a typographic quote as a plain one. If
    none does, its rows are the means over all old tokens. The generator draws a little noise, so that no two tokens are
    the same.
    """
    grown, old_ids = dict(weights), before.ids_in(after)
    new = [number for number, character in enumerate(after.characters) if character not in before.characters]
    alike = {number: before.look_alikes(after.characters[number])[:1] for number in new}
    like = {number: before.characters.index(found[0]) for number, found in alike.items() if found}
    for name in ("embedding", "head.weight", "head.bias"):
        if name in weights:  # a tied head has no weight of its own
            old = weights[name]
            rows = np.repeat(old.mean(axis=0, keepdims=True), len(after), axis=0)
            rows[list(like)] = old[list(like.values())]
            noise = generator.standard_normal(rows.shape) if old.ndim > 1 else np.zeros(len(rows))
            grown[name] = (rows + _NOISE * old.std(axis=0) * noise).astype(np.float32)
            grown[name][old_ids] = old
    return grown
