"""Key ceremonies: a reviewed script, carried out step by step before witnesses, resumable, with a signed transcript."""
