"""The limits of a server."""

from dataclasses import dataclass

from lstmgen.config import check, option


@dataclass(frozen=True)
class ServingConfig:
    """How much a server does at once, and how much one request may ask for."""

    rows: int = option(64, "Texts written at once, in one batch; further texts take turns.")
    queue: int = option(256, "Requests that are open at once, waiting ones included; more are refused.")
    max_length: int = option(4096, "Characters that one text may have (max_tokens).")
    max_prompt: int = option(16_384, "Characters that the prompts of a request may have.")

    def __post_init__(self) -> None:
        for name, most in (("rows", 1024), ("queue", 10_000), ("max_length", 1_000_000), ("max_prompt", 1_000_000)):
            check(self, name, 1 <= getattr(self, name) <= most, f"give 1 to {most:,}")
