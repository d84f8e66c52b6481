"""What docs/SAFETY.md promises, tried many times: kills, write faults, hostile files, texts and options.

`pytest tests/safety` tries a little of everything. `pytest tests/safety --long` tries as often as that page says.
"""
