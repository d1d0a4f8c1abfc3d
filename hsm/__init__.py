"""Keys that never leave their device: PKCS#11, the custodian process and its client."""
