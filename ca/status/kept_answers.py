"""How fresh the stored OCSP answers are, read from their file: one look at an index for each authority."""

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

_FIRST_ENDING: Final = """
SELECT this_update, next_update FROM answers WHERE issuer=? AND signed IS NOT NULL ORDER BY next_update LIMIT 1
"""
_LAST_DELEGATE: Final = """
SELECT der FROM delegates WHERE id=
    (SELECT delegate FROM answers WHERE issuer=? AND signed IS NOT NULL ORDER BY next_update DESC LIMIT 1)
"""
_WAITING: Final = """
SELECT (SELECT count(*) FROM answers WHERE issuer=:issuer AND signed IS NULL) + (SELECT count(*) FROM answers
    WHERE issuer=:issuer AND signed IS NOT NULL AND delegate IN (SELECT id FROM delegates WHERE ended))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAnswers:
    """What is stored of one issuer: the answer that ends first, if there is one, and how many wait to be signed.

    `delegate` is the certificate (DER) of whoever signed the one that ends last.
    """

    issuer: str
    first_begun: datetime | None
    first_ending: datetime | None
    waiting: int
    delegate: bytes | None


def kept_answers(connection: sqlite3.Connection) -> tuple[KeptAnswers, ...]:
    """Say of each issuer in the file what is stored; sqlite3.Error."""
    issuers = connection.execute("SELECT id, label FROM issuers ORDER BY label").fetchall()
    return tuple(_kept(connection, number, label) for number, label in issuers)


def _kept(connection: sqlite3.Connection, number: int, label: str) -> KeptAnswers:
    times = connection.execute(_FIRST_ENDING, (number,)).fetchone() or (None, None)
    begun, ending = (None if time is None else datetime.fromtimestamp(time, UTC) for time in times)
    (waiting,) = connection.execute(_WAITING, {"issuer": number}).fetchone()
    (delegate,) = connection.execute(_LAST_DELEGATE, (number,)).fetchone() or (None,)
    return KeptAnswers(issuer=label, first_begun=begun, first_ending=ending, waiting=waiting, delegate=delegate)
