"""What the README promises about safety, tried many times: kills, write faults, hostile files, texts and options.

`pytest tests/safety` tries a little of everything. `pytest tests/safety --long` tries as often as the README says.
"""
