"""`python -m desk` is `mohr-agent`."""

from desk.cli import main

main()
