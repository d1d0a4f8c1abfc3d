"""Fuzzing: every reader of strangers' octets under mutated good files (`make fuzz`; a sample runs with the tests)."""
