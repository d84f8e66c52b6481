"""The settings of dynamic evaluation and of the measurement of novelty."""

from dataclasses import dataclass

from lstmgen.config import SamplingConfig, check


@dataclass(frozen=True)
class DynamicConfig:
    """How a model keeps learning as it reads. docs/TRIALS.md has the experiments behind the values."""

    segment_length: int = 20  # tokens that are predicted, then learned from
    learning_rate: float = 8e-5
    decay: float = 4e-3  # how far each step moves the weights back towards the trained ones
    epsilon: float = 0.1  # fraction of the mean gradient scale; smaller scales count as this
    scale_batch_size: int = 32
    scale_chunks: int = 200  # chunks of the training text on which the gradient scales are measured


@dataclass(frozen=True)
class NoveltyConfig:
    """How a model writes the text of which `eval --novelty` measures how much is copied."""

    length: int = 20_000  # tokens
    temperature: float = SamplingConfig.temperature
    seed: int = 0

    def __post_init__(self) -> None:
        SamplingConfig(temperature=self.temperature)  # has the same bounds
        check(self, "length", self.length >= 1, "give how many characters to write, at least 1")
        check(self, "seed", self.seed >= 0, "give a whole number, at least 0")

    def __str__(self) -> str:
        return f"temperature {self.temperature:g}, seed {self.seed}"
