"""One policy engine for every format (ETSI EN 319 102-1): `verify.verify_bytes` always answers."""
