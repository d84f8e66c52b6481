"""The command line: the only part of the program that prints.

Each command parses its options, builds configs, calls one function of the core and shows the result.
"""
