"""The limits of a server."""

from dataclasses import dataclass

from lstmgen.config import check, option


@dataclass(frozen=True)
class ServingConfig:
    """How much a server does at once, and how much one request may ask for."""

    rows: int = option(64, "Texts to write at once, in one batch; more take turns.")
    queue: int = option(256, "Maximum number of open requests, including waiting ones; more are refused.")
    max_length: int = option(4096, "Maximum length of one text in characters (max_tokens).")
    max_prompt: int = option(16_384, "Maximum length of a request's prompts in characters.")

    def __post_init__(self) -> None:
        for name, maximum in (("rows", 1024), ("queue", 10_000), ("max_length", 1_000_000), ("max_prompt", 1_000_000)):
            check(self, name, 1 <= getattr(self, name) <= maximum, f"give 1 to {maximum:,}")
