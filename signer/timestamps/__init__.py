"""RFC 3161 both ways: the authority that answers and the clients that ask."""
