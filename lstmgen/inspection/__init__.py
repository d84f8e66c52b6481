"""Look inside a network as it reads a text: gates, cell states, attention, and how far back it looks."""
