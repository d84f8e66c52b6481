"""Text generation: engines that run the network, filters on its logits, the loop that draws, and saved states."""
