"""Verification in processes that may be killed: time and memory have an end, whatever a file does to its reader."""
