"""The schema's history, one script per change, applied by `storage.migrate`. How to add one: README.md here."""
