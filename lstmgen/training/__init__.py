"""Teaching a network to predict a text."""
