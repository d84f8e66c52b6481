"""Faster twins of the cells, on the same parameters: steps for NumPy, and loops over time for torch.

A cell without a twin runs its own `step`, which works with both libraries on every device. A test proves that each twin
equals the cell.
"""
