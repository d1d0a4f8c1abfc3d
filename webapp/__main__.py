"""`python -m webapp` is `mohr`."""

from webapp.cli import main

main()
