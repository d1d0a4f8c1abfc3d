"""The agent on the physician's desk: shows, asks and signs with a card."""
