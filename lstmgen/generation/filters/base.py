"""The type of a filter.

Knows: the signature. Does not know: any particular filter.
"""

from collections.abc import Callable
from typing import TypeAlias

from lstmgen.generation.engine import FloatArray
from lstmgen.generation.history import History

Filter: TypeAlias = Callable[[FloatArray, History], FloatArray]
"""Takes logits, (rows, symbols), and the history of each row; returns logits, -inf for a symbol that must not be drawn.

A filter is called once for each symbol of the samples, in order, and may remember earlier calls. It does not change its
arguments.
"""
