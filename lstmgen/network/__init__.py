"""The whole network: embedding, recurrent layers with residual connections, attention, head."""
