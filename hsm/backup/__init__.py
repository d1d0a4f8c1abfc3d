"""A token for a second site: one encrypted file, opened by shares."""
