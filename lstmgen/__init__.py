"""Text generation with recurrent networks, one character at a time.

    import lstmgen
    model = lstmgen.load("checkpoints/my-run")
    print(model.sample("To be", length=200))
    print(model.score("To be or not to be").bits_per_character)

The public names are imported on first use; torch is not imported.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lstmgen.errors import LstmgenError
    from lstmgen.language_model import LanguageModel, load

__version__ = "0.2.0"
__all__ = ["LanguageModel", "LstmgenError", "__version__", "load"]


def __getattr__(name: str) -> Any:
    """Import a name of the public API on first use, so that `lstmgen --help` does not have to wait for it."""
    if name in ("LanguageModel", "load"):
        from lstmgen import language_model

        return getattr(language_model, name)
    if name == "LstmgenError":
        from lstmgen.errors import LstmgenError

        return LstmgenError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
