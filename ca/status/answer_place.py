"""Where in the feed of changes a store of answers stands."""

import sqlite3
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Up to where the feed of changes was followed; serial number and time tell one history from another."""

    position: int
    serial_hex: str
    at: str

    @staticmethod
    def read(text: str) -> "Place":
        """Read what `str` wrote; sqlite3.DatabaseError for anything else: the file that holds it is damaged."""
        try:
            position, serial_hex, at = text.split(" ")
            return Place(int(position), serial_hex, at)
        except ValueError as error:
            raise sqlite3.DatabaseError("damaged: no place in the feed") from error

    def __str__(self) -> str:
        return f"{self.position} {self.serial_hex} {self.at}"
