"""Recovery: how a database that went backwards learns again what it forgot, and what it may do until then."""
