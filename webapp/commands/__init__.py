"""The commands of `mohr`, one module each; thin over `webapp.compose` and the rooms below."""
