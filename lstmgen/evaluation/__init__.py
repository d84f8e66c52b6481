"""Measures of how well a model predicts a text, and of how much of its own text is copied.

Knows: anything that reads ids and returns logits, in NumPy or torch.
Does not know: training, terminals, or how a result is shown.
"""
