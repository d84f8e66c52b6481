"""A page to write with."""

from lstmgen.checkpoint import Checkpoint
from lstmgen.network.rounding import Rounding
from lstmgen.pages.network import network_data
from lstmgen.pages.page import fill_page

_SCRIPTS = ("engine.js", "vocabulary.js", "sampling.js", "writing.js", "write.js")


def writing_page(checkpoint: Checkpoint, name: str, rounding: Rounding) -> str:
    """Return the page of a model under this name, with its weights rounded as given."""
    title = "".join(letter if letter.isprintable() else "\ufffd" for letter in name)
    network = checkpoint.network
    about = f"{network}, {network.parameter_count():,} weights in {rounding}"
    return fill_page("write", title, {"name": name, "about": about, **network_data(checkpoint, rounding)}, _SCRIPTS)
