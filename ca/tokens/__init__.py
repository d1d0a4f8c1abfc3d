"""Connection tokens of centres: the gate of three lights, the life cycle, and OAuth access tokens."""
