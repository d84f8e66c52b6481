"""The command line: the only part that prints.

A command parses, builds configurations, calls one function of the core and shows what comes back.

Knows: typer, rich, tqdm, terminals, signals. Does not know: torch or NumPy until a command needs them.
"""
