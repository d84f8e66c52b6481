"""Text generation: the engines that run the network, the filters on its logits, the loop that draws, and saved states."""
