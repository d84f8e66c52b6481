"""What changes in the course of training: the learning rate, and how much text a step reads.

Knows: the fraction of the budget that is used up. Does not know: budgets, clocks, optimizers or texts.
"""

from lstmgen.config import TrainingConfig

_GROWTH_FROM = 0.5  # the fraction of the budget from which steps read more than one chunk


def learning_rate(config: TrainingConfig, progress: float) -> float:
    """The learning rate after this fraction of the budget: it rises in the warm-up, then falls linearly to zero."""
    if progress < config.warm_up:
        return config.learning_rate * (0.1 + 0.9 * progress / config.warm_up)
    return config.learning_rate * (1 - progress) / (1 - config.warm_up)


def chunks_per_step(config: TrainingConfig, progress: float) -> int:
    """How many consecutive chunks a step reads as one after this fraction of the budget.

    Short chunks give many updates, which is worth most in the beginning. Long ones show what the network should have
    kept for longer, and an update from more text is more exact.
    """
    return config.chunk_growth if progress >= _GROWTH_FROM else 1


def mean_chunk_length(config: TrainingConfig) -> float:
    """How many symbols of each stream a step reads, as a mean over all steps of a budget that counts them."""
    return config.chunk_length * (_GROWTH_FROM + (1 - _GROWTH_FROM) * config.chunk_growth)
