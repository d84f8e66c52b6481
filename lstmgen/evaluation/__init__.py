"""How well a model predicts.

Knows: anything that reads ids and returns logits, NumPy or torch. Does not know: training, files or terminals.
"""
