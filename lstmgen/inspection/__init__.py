"""What a network does while it reads a text: gates, cell states, attention, and how far back it looks."""
