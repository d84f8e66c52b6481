"""The initial value of every parameter, and of the parameters of new tokens before fine-tuning.

Orthogonal recurrent blocks: Saxe et al. 2014. Forget bias 1: Gers et al. 2000; Jozefowicz et al. 2015.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lstmgen.network.architecture import Network
from lstmgen.text.vocabulary import Vocabulary

FloatArray = NDArray[np.float32]

_GATED = 0.5  # a cell with gates remembers without large recurrent weights, which would drown out its inputs
_HEAD = 3  # the outputs of a new network are small; a larger head lets it learn from them sooner
_NOISE = 0.1  # as a fraction of the deviation of the old tokens' rows


def initialize(network: Network, generator: np.random.Generator) -> dict[str, FloatArray]:
    """Draw every parameter by name, float32.

    Recurrent blocks are orthogonal, and halved if the cell has gates. The head is uniform in ±3/√inputs, other matrices
    in ±1/√inputs. The embedding is normal with deviation 1, so that the first layer can tell the tokens apart from the
    start; a tied one, which is the head too, has deviation 3/√size. Biases and peepholes are zero, except the forget
    gate's bias, which is 1.
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
    """The parameters of a network for a larger vocabulary: old tokens keep their rows of the embedding and the head.

    A new token starts with the rows of an old one that looks like it: é as e, a typographic quote as a plain one. If
    none does, its rows are the means over all old tokens. A little noise keeps any two tokens from being equal.
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
