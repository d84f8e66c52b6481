"""Refusing a network that cannot fit into this machine's memory, before any is taken.

Knows: what a training step keeps at least. Does not know: torch.
"""

import os

from lstmgen.config import TrainingConfig
from lstmgen.errors import ConfigError
from lstmgen.network.architecture import Network

_BYTES_PER_PARAMETER = 16  # the weight, its gradient, and two moments of the optimizer, in float32


def require_memory(network: Network, config: TrainingConfig) -> None:
    """Raise ConfigError if training this network needs more memory than this machine has; call it before any is taken.

    What is counted is the least that a step keeps: four numbers for each parameter, and for each symbol of a chunk the
    embedding, the outputs of all layers, attention's weights and the logits.
    """
    window = network.attention.window if network.attention else 0
    outputs = len(network.cells) * network.hidden_size
    per_symbol = network.embedding_size + outputs + window + network.vocab_size
    activations = 4 * config.batch_size * config.chunk_length * config.chunk_growth * per_symbol
    needed = _BYTES_PER_PARAMETER * network.parameter_count() + activations
    if (memory := _machine_memory()) is not None and needed > memory:
        remedy = f"to train {network} takes at least {needed / 1e9:,.0f} GB of memory, and this machine has "
        remedy += f"{memory / 1e9:,.0f}; give a smaller `hidden_size`, `num_layers`, `batch_size` or `chunk_length`"
        raise ConfigError("hidden_size", network.hidden_size, remedy)


def _machine_memory() -> int | None:
    """The memory of this machine in bytes; None: the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
