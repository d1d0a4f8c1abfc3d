"""Smart cards in PC/SC readers: APDUs, card engines, PINs. Knows no document and no server."""
