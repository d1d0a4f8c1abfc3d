"""Documents: signing, time-stamping and validation (ETSI EN 319 102-1). Issues no certificate."""
