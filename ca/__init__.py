"""The certification authority: registration, issuance, status and connection tokens."""
