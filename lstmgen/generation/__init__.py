"""Text generation: engines that run the network, filters on its logits, the sampling loop, and saved states."""
