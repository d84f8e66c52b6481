"""The whole network: embedding, recurrent layers with residual connections, attention, head.

Knows: its parts and sizes (`architecture`), the forward pass for NumPy and torch (`forward`), parameters that learn
(`model`), and faster twins of the cells (`kernels`).
Does not know: text, losses or files.
"""
