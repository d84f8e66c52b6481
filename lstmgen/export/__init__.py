"""Export a trained model to other programs."""
