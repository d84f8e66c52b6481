"""Text generation: the engines that run the network, the filters on its logits, the loop that draws, and saved states.

Knows: NumPy; torch in `torch_engine` alone; files in `saved_state` alone. Does not know: terminals or training.
"""
