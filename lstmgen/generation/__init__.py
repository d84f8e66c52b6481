"""Writing: the NumPy engine, what to make of its logits, and text as it comes.

Knows: NumPy. Does not know: torch, terminals or files.
"""
