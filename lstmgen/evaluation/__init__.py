"""Measures of how well a model predicts a text, and of how much of its own text is copied."""
