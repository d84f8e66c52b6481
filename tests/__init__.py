"""The tests: equalities and behaviours, on the CPU, without a network."""
