"""Where people and programs meet Mohr: the server, its pages, its API and the command line."""
