"""A trained model for other programs.

Knows: checkpoints, and the formats of other programs. Does not know: terminals, options or training.
"""
