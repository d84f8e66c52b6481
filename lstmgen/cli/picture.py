"""Learning curves as a PNG or SVG picture.

Knows: matplotlib. Does not know: how a run is described; files.
"""

import io
import textwrap
import warnings
from itertools import cycle
from typing import Any

from lstmgen.cli.chart import Curves, describe, limits

FORMATS = ("png", "svg")

_COLORS = ("tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple", "tab:brown", "tab:pink", "tab:cyan")
_WIDTH, _HEIGHT, _LINE_HEIGHT = 10, 5.5, 0.2  # inches; the last is for each line of a description
_LINE_CHARACTERS = 145
_TRAINING: dict[str, Any] = {"linewidth": 1, "alpha": 0.6}
_VALIDATION: dict[str, Any] = {"linewidth": 1.8, "marker": "o", "markersize": 4}
_BEST: dict[str, Any] = {"linestyle": "", "marker": "*", "markersize": 15, "markeredgecolor": "white"}
_OVERFITTING: dict[str, Any] = {"linewidth": 1, "linestyle": ":"}
_SETTINGS: dict[Any, Any] = {  # matplotlib types the names as a long list of literals
    "axes.spines.right": False,
    "axes.spines.top": False,
    "legend.frameon": False,
    "svg.fonttype": "none",  # keep text as text, in any script
    "svg.hashsalt": "lstmgen",  # the same curves give the same bytes
    "text.parse_math": False,  # the name of a run may be $x$
}


def picture(curves: Curves, unit: str, format: str) -> bytes:  # noqa: A002  # matplotlib's name
    """Draw curves with a description of each below them.

    Args:
        curves: the curves.
        unit: what the losses are measured per, such as character.
        format: one of `FORMATS`.

    Returns:
        The content of the picture's file.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    last, low, high = limits(curves)
    content = io.BytesIO()
    with rc_context(_SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # the font lacks a character of a name: a box is drawn
        figure = Figure(figsize=(_WIDTH, _HEIGHT + _LINE_HEIGHT * len(curves)), dpi=150, layout="constrained")
        axes = figure.add_subplot(xlabel="epochs", ylabel=f"nats per {unit}", xlim=(0, 1.01 * last), ylim=(low, high))
        axes.grid(alpha=0.3)
        runs = []
        for (name, curve), color in zip(curves.items(), cycle(_COLORS), strict=False):
            for losses, style in ((curve.training, _TRAINING), (curve.validation, _VALIDATION)):
                axes.plot([loss.epoch for loss in losses], [loss.nats for loss in losses], color=color, **style)
            if curve.best:
                axes.plot([curve.best.epoch], [curve.best.nats], color=color, zorder=3, **_BEST)
                if curve.overfitted:
                    axes.axvline(curve.best.epoch, color=color, **_OVERFITTING)
            words = textwrap.fill(describe(name, curve), _LINE_CHARACTERS)
            runs.append(Line2D([], [], color=color, linewidth=4, label=words))
        figure.legend(handles=runs, loc="outside lower left", fontsize=9)
        key = {"training": _TRAINING, "validation": _VALIDATION, "the best": _BEST}
        if any(curve.overfitted for curve in curves.values()):
            key["overfitting from there"] = _OVERFITTING
        styles = [Line2D([], [], color="gray", label=label, **style) for label, style in key.items()]
        axes.legend(handles=styles, loc="lower right", bbox_to_anchor=(1, 1), ncols=len(styles))
        figure.savefig(content, format=format, metadata={"Date": None} if format == "svg" else None)
    return content.getvalue()
