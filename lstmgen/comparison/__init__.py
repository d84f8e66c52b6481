"""Compare networks with the same text and budget: `networks` on any text, `recall` on a synthetic task."""
