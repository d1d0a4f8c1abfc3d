"""What an independent linter says of certificates after they are signed, kept, and what follows from it."""
