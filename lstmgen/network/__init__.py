"""The whole network: embedding, recurrent layers with residual connections, attention, head.

`architecture` holds the sizes, `step` one time step, `chunk` many at once; these run on NumPy and on torch.
`model` and `kernels` are torch's: parameters that learn, and faster twins of the loop over time.
"""
