"""Networks beside each other: the same text and the same budget for each.

`networks` trains them on a text; `recall` teaches them a made text that asks for what was shown before.
"""
