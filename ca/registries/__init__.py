"""The registries that a registration file is held against: what is asked, what they can answer, what was heard."""
