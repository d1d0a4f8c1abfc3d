"""Whose each public key is: one holder and one profile, from its first intent on and for good.

The row's primary key is what two servers cannot both write: whoever comes second waits for the first one's
commit and then reads whose the key is.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ca.issuing.tables import key_holders
from ca.tables import certificates

_k = key_holders.c
_CLAIMS: Final = {
    "sqlite": sqlite.insert(key_holders).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(key_holders).on_conflict_do_nothing(),
}
_SHARED: Final = (
    select(key_holders)
    .where(_k.spki_sha256.in_(bindparam("digests", expanding=True)))
    .order_by(_k.spki_sha256)
    .with_for_update(read=True)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyHolder:
    """Whose a public key is (by the SHA-256 of its SubjectPublicKeyInfo), for what, and whether it still may be."""

    spki_sha256: bytes
    holder: str = field(repr=False)
    profile: str
    compromised: bool = False

    @staticmethod
    def of(row: Mapping[str, Any]) -> "KeyHolder":
        """Take the claim that the row of a certificate makes."""
        return KeyHolder(spki_sha256=row["spki_sha256"], holder=row["holder"], profile=row["profile"])


def claim_keys(connection: Connection, claims: Iterable[KeyHolder]) -> dict[bytes, KeyHolder]:
    """Give each free key to who claims it; return by digest whose each of them is, fixed until the commit."""
    rows = [
        {"spki_sha256": c.spki_sha256, "holder": c.holder, "profile": c.profile, "compromised": False}
        for c in sorted(claims, key=lambda c: c.spki_sha256)  # one order for all: nobody waits in a circle
    ]
    if not rows:
        return {}
    connection.execute(_CLAIMS[connection.dialect.name], rows)
    found = connection.execute(_SHARED, {"digests": [row["spki_sha256"] for row in rows]})
    return {
        row.spki_sha256: KeyHolder(
            spki_sha256=row.spki_sha256, holder=row.holder, profile=row.profile, compromised=row.compromised
        )
        for row in found
    }


def mark_compromised(connection: Connection, serial: str) -> None:
    """Note that the key of a certificate is never to be certified again."""
    key = select(certificates.c.spki_sha256).where(certificates.c.serial == serial).scalar_subquery()
    connection.execute(update(key_holders).where(_k.spki_sha256 == key).values(compromised=True))
