"""A device and the process it lives in: what can hang or crash there is killed and started again from here."""
