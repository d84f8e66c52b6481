"""The network's sizes, weights and state, for arrays of either library.

    e = E[id]                              embedding
    y_1 = cell_1(e)                        first layer
    y_l = y_{l-1} + cell_l(y_{l-1})        every further layer adds its output to its input
    a = attend(y_L, its past)              with attention only; see `attention`
    logits = W_o a + b_o                   head
    logits = E (P a) + b_o                 tied head: uses the embedding, after a projection to its size

A tied head (Press & Wolf 2017, "Using the output embedding to improve language models") saves parameters if the
vocabulary is large, and a rare token's vector learns from both its uses.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

from lstmgen.cells import Array, Cell, State, build_cell
from lstmgen.cells.arrays import zeros
from lstmgen.config import ModelConfig
from lstmgen.network.attention import Attention


class NetworkState(NamedTuple):
    """The state after some text: each layer's state, and the outputs that attention may look back at."""

    layers: tuple[State, ...]
    memory: Array | None  # (batch, window, hidden), the oldest first; None without attention


class Weights(NamedTuple):
    """All parameters, arranged for the equations."""

    embedding: Array  # (vocab, embedding), or a table that a layer runner made from it
    layers: tuple[Any, ...]  # for each layer a mapping of names to arrays, or what a layer runner made from it
    attention: Mapping[str, Array]  # empty without attention
    head_projection: Array | None  # (embedding, hidden); None if the head is not tied
    head_weight: Array  # (vocab, hidden), or the embedding if the head is tied
    head_bias: Array  # (vocab,)


@dataclass(frozen=True)
class Network:
    """The architecture: the cells in order, attention above them, and the sizes at both ends."""

    vocab_size: int
    embedding_size: int
    cells: tuple[Cell, ...]
    attention: Attention | None
    tied: bool = False  # whether the head uses the embedding

    def __str__(self) -> str:
        text = f"{len(self.cells)} x {self.hidden_size} {self.cells[0]}"
        return text + (f", attention {self.attention.window}" if self.attention else "")

    @property
    def hidden_size(self) -> int:
        """The size of every layer's output."""
        return self.cells[-1].hidden_size

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every parameter by name, in a fixed order; a checkpoint uses the same names."""
        shapes: dict[str, tuple[int, ...]] = {"embedding": (self.vocab_size, self.embedding_size)}
        for number, cell in enumerate(self.cells):
            shapes |= {f"layers.{number}.{name}": shape for name, shape in cell.shapes().items()}
        if self.attention:
            shapes |= {f"attention.{name}": shape for name, shape in self.attention.shapes().items()}
        if self.tied:
            shapes["head.projection"] = (self.embedding_size, self.hidden_size)
        else:
            shapes["head.weight"] = (self.vocab_size, self.hidden_size)
        return shapes | {"head.bias": (self.vocab_size,)}

    def parameter_count(self) -> int:
        """How many numbers the network learns."""
        return sum(map(prod, self.shapes().values()))

    def layer_parameter_count(self) -> int:
        """How many of the parameters do not depend on the vocabulary: recurrent layers and attention."""
        vocabulary = ("embedding", "head.")
        return sum(prod(shape) for name, shape in self.shapes().items() if not name.startswith(vocabulary))

    def arrange(self, named: Mapping[str, Any]) -> Weights:
        """Arrange named parameters for the equations, without copying them."""
        return Weights(
            embedding=named["embedding"],
            layers=tuple(_below(named, f"layers.{number}.") for number in range(len(self.cells))),
            attention=_below(named, "attention."),
            head_projection=named.get("head.projection"),
            head_weight=named["embedding"] if self.tied else named["head.weight"],
            head_bias=named["head.bias"],
        )

    def initial_state(self, batch_size: int, like: Array) -> NetworkState:
        """The state before any text: zeros with the library, type and device of another array."""
        return NetworkState(
            layers=tuple(cell.initial_state(batch_size, like) for cell in self.cells),
            memory=zeros((batch_size, self.attention.window, self.hidden_size), like) if self.attention else None,
        )


def build_network(config: ModelConfig, vocab_size: int) -> Network:
    """Build the configured architecture for a vocabulary of this size."""
    input_sizes = [config.embedding_size] + [config.hidden_size] * (config.num_layers - 1)
    return Network(
        vocab_size=vocab_size,
        embedding_size=config.embedding_size,
        cells=tuple(build_cell(config, input_size) for input_size in input_sizes),
        attention=Attention(config.hidden_size, config.attention) if config.attention else None,
        tied=config.tied,
    )


def map_state(function: Callable[[Any], Any], state: NetworkState) -> NetworkState:
    """Apply a function to every array of a state."""
    return NetworkState(
        layers=tuple(type(layer)(*(function(field) for field in layer)) for layer in state.layers),
        memory=None if state.memory is None else function(state.memory),
    )


def _below(named: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): array for name, array in named.items() if name.startswith(prefix)}
