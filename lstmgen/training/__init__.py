"""Teaching a network to predict a text.

Knows: torch, budgets, checkpoints that can be resumed. Does not know: terminals; it yields events.
"""
