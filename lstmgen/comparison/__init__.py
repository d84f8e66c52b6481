"""Networks beside each other: the same text and the same budget for each.

Does not know: how results are shown (`cli`).
"""
