"""From files to symbols: sources -> decoded text -> ids -> parallel streams.

Knows: files, encodings, characters and bytes. Does not know: networks, torch, or what the ids are used for.
"""
