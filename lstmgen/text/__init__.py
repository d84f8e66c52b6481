"""From files to the input of a network: sources -> decoded text -> ids -> chunks of parallel streams or lines."""
