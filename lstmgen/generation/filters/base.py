"""What a filter is.

Knows: the signature. Does not know: any particular filter.
"""

from collections.abc import Callable
from typing import TypeAlias

from lstmgen.generation.engine import FloatArray
from lstmgen.generation.history import History

Filter: TypeAlias = Callable[[FloatArray, History], FloatArray]
"""Takes logits, (rows, symbols), and what each row has written; returns logits, -inf for what must not be drawn.

It is called once for each symbol that is written, and may remember what it saw. What it is given it does not change.
"""
