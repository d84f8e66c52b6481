"""The settings of dynamic evaluation and of novelty."""

from dataclasses import dataclass

from lstmgen.config import SamplingConfig, check


@dataclass(frozen=True)
class DynamicConfig:
    """How a model keeps learning as it reads. The values come from the experiments in docs/TRIALS.md."""

    segment_length: int = 20  # tokens to predict, then learn from
    learning_rate: float = 8e-5
    decay: float = 4e-3  # how far each step moves the weights back towards the trained ones
    epsilon: float = 0.1  # lower bound for gradient scales, as a fraction of their mean
    scale_batch_size: int = 32
    scale_chunks: int = 200  # chunks of the training text for measuring the gradient scales


@dataclass(frozen=True)
class NoveltyConfig:
    """How a model writes the text for `eval --novelty`."""

    length: int = 20_000  # tokens
    temperature: float = SamplingConfig.temperature
    seed: int = 0

    def __post_init__(self) -> None:
        SamplingConfig(temperature=self.temperature)  # the same bounds
        check(self, "length", self.length >= 1, "give how many characters to write, at least 1")
        check(self, "seed", self.seed >= 0, "give a whole number, at least 0")

    def __str__(self) -> str:
        return f"temperature {self.temperature:g}, seed {self.seed}"
