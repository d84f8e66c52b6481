"""How far back a network looks, as one chart: loss and gradient by distance.

Knows: what was measured, and the width of the terminal. Does not know: how it was measured.
"""

import math
import shutil
from typing import Any

from lstmgen.cli.bars import bar
from lstmgen.cli.render import put
from lstmgen.inspection.memory import NOTICEABLE, REACH, Memory

_NARROWEST, _WIDEST = 60, 120  # columns
_COLUMNS = 45  # those of the numbers and of the space between them
_DECADES = 6  # the gradient's bar ends this many powers of ten below the largest one


def print_memory(memory: Memory, unit: str) -> None:
    """Print a row for each number of visible symbols.

    Args:
        memory: what was measured.
        unit: what one symbol is called: character or byte.
    """
    width = min(max(shutil.get_terminal_size().columns, _NARROWEST), _WIDEST)
    room = (width - _COLUMNS) // 2
    losses = memory.nats_per_character
    least, most = min(losses.values()), max(losses.values())
    largest = float(memory.reach.max())
    put(f"{'visible':>7}  {f'nats per {unit}':<{room + 20}}  gradient at that distance\n")
    for visible, nats in losses.items():
        above = bar((nats - least) / max(most - least, NOTICEABLE), room)
        row = f"{visible:7,}  {nats:.4f} {nats - least:+8.4f} {above:<{room + 4}}"
        if visible <= len(memory.reach):
            gradient = float(memory.reach[visible - 1])
            row += f" {gradient:8.1e} {bar(_height(gradient, largest), room)}"
        put(row.rstrip() + "\n")
    put(
        f"""
Visible: how many {unit}s the network may see before it predicts one; +: how
much worse that is than the best; the same {memory.positions:,} predictions in each row.
It uses {memory.used:,} {unit}s: more of them change the loss by less than {NOTICEABLE} nats.
Gradient: how much its loss depends on the {unit} that many before it, to {REACH};
the norm of d loss / d input, mean over predictions; its bar shows {_DECADES} powers
of ten.
"""
    )


def _height(gradient: float, largest: float) -> float:
    """The logarithm of a gradient as a fraction: 1 for the largest one, 0 six powers of ten below it."""
    return 1 + math.log10(gradient / largest) / _DECADES if gradient > 0 else 0


def memory_json(memory: Memory) -> dict[str, Any]:
    """How far back a network looks, as values that JSON can hold."""
    return {
        "positions": memory.positions,
        "memory": [
            {"visible": visible, "nats_per_character": nats} for visible, nats in memory.nats_per_character.items()
        ],
        "memory_reach": memory.used,
        "reach": [{"back": back, "gradient": float(norm)} for back, norm in enumerate(memory.reach)],
    }
