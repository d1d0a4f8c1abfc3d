"""The gate before every signature: each rule reads the twin's bytes and is one clause of a standard or of the house."""
