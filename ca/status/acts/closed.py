"""Authorities that issue nothing any more, because their key is declared compromised."""

from collections.abc import Collection

from sqlalchemy import Connection, select

from ca.status.acts.tables import compromised_authorities
from pki.errors import Conflict, ErrorCode


def closed_authorities(connection: Connection) -> Collection[str]:
    """Name them; read in the transaction that writes intents."""
    return frozenset(connection.execute(select(compromised_authorities.c.authority)).scalars())


def check_open(authority: str, closed: Collection[str]) -> None:
    """Refuse to issue under an authority that is closed: Conflict (`authority-closed`)."""
    if authority in closed:
        raise Conflict(ErrorCode.AUTHORITY_CLOSED, f"the {authority} authority is closed", reason="authority.closed")
