"""The value of every parameter before training.

Orthogonal recurrent blocks: Saxe et al. 2014. Forget bias 1: Gers et al. 2000; Jozefowicz et al. 2015.
"""

import numpy as np
from numpy.typing import NDArray

from lstmgen.cells import Cell
from lstmgen.cells.base import gate_names
from lstmgen.network.architecture import Network

FloatArray = NDArray[np.float32]

_GATED = 0.5  # a cell with gates remembers without large recurrent weights, and they cover what it reads
_HEAD = 3  # the outputs of a new network are small; with a larger head it learns sooner from them


def initialize(network: Network, generator: np.random.Generator) -> dict[str, FloatArray]:
    """Draw every parameter by name, float32.

    Recurrent blocks are orthogonal, and halved where a cell has gates. The head is uniform in ±3/√inputs, other
    matrices in ±1/√inputs. The embedding is normal with deviation 1, so that the first layer sees the tokens from the
    beginning; a tied one is the head too, and has deviation 3/√size. Biases and peepholes are zero, but the forget
    gate's bias 1.
    """
    weights: dict[str, FloatArray] = {}
    for name, shape in network.shapes().items():
        part, _, parameter = name.rpartition(".")
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
            if parameter == "bias" and part.startswith("layers."):
                _open_forget_gate(drawn, network.cells[int(part.removeprefix("layers."))])
        weights[name] = drawn.astype(np.float32)
    return weights


def _orthogonal(size: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """A uniformly drawn orthogonal matrix, (size, size); Mezzadri 2007."""
    q, r = np.linalg.qr(generator.standard_normal((size, size)))
    return np.asarray(q * np.sign(np.diag(r)))


def _open_forget_gate(bias: NDArray[np.float64], cell: Cell) -> None:
    names = gate_names(cell)
    if "forget" in names:
        bias.reshape(len(names), -1)[names.index("forget")] = 1
