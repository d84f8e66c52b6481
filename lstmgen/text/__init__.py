"""From files to the input of a network: sources -> decoded text -> ids -> chunks of parallel streams or lines.

Knows: files, encodings, characters and bytes. Does not know: networks, torch, or what the ids are used for.
"""
