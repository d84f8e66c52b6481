"""What a network does while it reads a text: gates, cell states, attention, and how far back it looks.

Knows: networks, text, and what the cells' own `step` returns. Does not know: how results are shown.
"""
