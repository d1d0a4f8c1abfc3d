"""Where people and programs meet Mohr: the server, its pages, its API and the command line."""

import gc

# Modules are kept for good: to look for garbage as often as usual while they load takes an eighth of a program's start.
gc.set_threshold(100_000)
