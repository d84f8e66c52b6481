"""The whole network: embedding, recurrent layers with residual connections, attention, head.

Knows: sizes (`architecture`), one time step (`step`) and many at once (`chunk`), for NumPy and torch; in torch
parameters that learn (`model`) and faster twins of the loop over time (`kernels`).
Does not know: text, losses, random draws or files.
"""
