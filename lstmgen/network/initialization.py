"""The value of every parameter before training.

Knows: orthogonal recurrent blocks (Saxe et al. 2014), forget bias 1 (Gers et al. 2000; Jozefowicz et al. 2015).
Does not know: torch. The numbers depend on the seed alone, not on the device or the library that trains.
"""

import numpy as np
from numpy.typing import NDArray

from lstmgen.cells import Cell
from lstmgen.cells.base import gate_names
from lstmgen.network.architecture import Network

FloatArray = NDArray[np.float32]


def initialize(network: Network, generator: np.random.Generator) -> dict[str, FloatArray]:
    """Draw every parameter by name, float32.

    Recurrent blocks are orthogonal; other matrices uniform in ±1/√inputs; the embedding normal with deviation 1/√size;
    biases and peepholes zero, but the forget gate's bias 1.
    """
    weights: dict[str, FloatArray] = {}
    for name, shape in network.shapes().items():
        part, _, parameter = name.rpartition(".")
        if name == "embedding":
            drawn = generator.standard_normal(shape) / np.sqrt(shape[1])
        elif parameter == "weight_hh":
            blocks = shape[0] // shape[1]
            drawn = np.concatenate([_orthogonal(shape[1], generator) for _ in range(blocks)])
        elif len(shape) == 2:
            drawn = generator.uniform(-1, 1, shape) / np.sqrt(shape[1])
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
