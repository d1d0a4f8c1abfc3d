"""Orders that come twice: the first one of an actor's key makes a certificate, the others are answered by it.

The key's row and the intent become durable together, so no crash leaves one without the other. The row names the
certificate; what became of that is what is answered.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ca.issuing.orders import Issued
from ca.issuing.tables import idempotency
from ca.status.revocation import CertificateState
from ca.tables import certificates
from pki.errors import Conflict, ErrorCode
from storage.base import UtcDateTime

RETENTION: Final = timedelta(days=30)

_i = idempotency.c
_c = certificates.c
_RESERVE: Final = {
    "sqlite": sqlite.insert(idempotency).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(idempotency).on_conflict_do_nothing(),
}
_TAKE_OVER: Final = (
    update(idempotency)
    .where(_i.id == bindparam("of"))
    .values(serial=bindparam("to"), expires_at=bindparam("until", type_=UtcDateTime()))
)
_FIND: Final = (
    select(_i.id, _i.body_sha256, _i.serial, _c.issuer, _c.state, _c.der, _c.server)
    .outerjoin_from(idempotency, certificates, _c.serial == _i.serial)
    .where(_i.id.in_(bindparam("ids", expanding=True)))
)
_LOCK: Final = select(_i.id).where(_i.id.in_(bindparam("ids", expanding=True))).order_by(_i.id).with_for_update()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """An order's key and what is to be made for it."""

    id: bytes
    body_sha256: bytes
    serial: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """An order that came before with the same key. `state` is None where its certificate's row is gone."""

    body_sha256: bytes
    serial: str
    issuer: str | None
    state: CertificateState | None
    der: bytes | None
    server: str | None

    @property
    def given_up(self) -> bool:
        """Whether nothing became of it."""
        return self.state in (None, CertificateState.ABANDONED)

    @property
    def open(self) -> bool:
        """Whether it has no result yet."""
        return self.state is CertificateState.INTENDED

    def answer(self, body_sha256: bytes) -> Issued:
        """Answer a later order; Conflict `idempotency-conflict` or `request-in-progress`."""
        if self.body_sha256 != body_sha256:
            raise Conflict(ErrorCode.IDEMPOTENCY_CONFLICT, "this key was given with another order")
        if self.state is None or self.issuer is None or self.der is None:
            raise Conflict(ErrorCode.REQUEST_IN_PROGRESS, "the same order is being carried out")
        return Issued(der=self.der, serial_hex=self.serial, issuer=self.issuer, state=self.state, repeated=True)


def find_earlier(connection: Connection, ids: Sequence[bytes]) -> dict[bytes, Earlier]:
    """Return what was ordered with these keys before."""
    if not ids:
        return {}
    return {row.id: _earlier(row) for row in connection.execute(_FIND, {"ids": ids})}


def _earlier(row: Any) -> Earlier:
    return Earlier(
        body_sha256=row.body_sha256,
        serial=row.serial,
        issuer=row.issuer,
        state=None if row.state is None else CertificateState(row.state),
        der=row.der,
        server=row.server,
    )


def reserve(connection: Connection, wanted: Iterable[Reservation], now: datetime) -> dict[bytes, Earlier]:
    """Reserve keys that nobody used; return by key whose each is now, fixed until the commit."""
    wanted = sorted(wanted, key=lambda one: one.id)  # one order for all: nobody waits in a circle
    rows = [
        {"id": one.id, "body_sha256": one.body_sha256, "serial": one.serial, "expires_at": now + RETENTION}
        for one in wanted
    ]
    if not rows:
        return {}
    connection.execute(_RESERVE[connection.dialect.name], rows)
    ids = [one.id for one in wanted]
    # Locked first and read afterwards: what was waited for is seen whole, certificate and all. SQLite has one writer.
    if connection.dialect.name != "sqlite":
        connection.execute(_LOCK, {"ids": ids})
    return find_earlier(connection, ids)


def take_over(connection: Connection, one: Reservation, now: datetime) -> None:
    """Give a key whose order came to nothing to the same order, given again; its row must be locked."""
    connection.execute(_TAKE_OVER, {"of": one.id, "to": one.serial, "until": now + RETENTION})


def release(connection: Connection, own: Mapping[bytes, str]) -> None:
    """Free keys, by their serial numbers, whose orders were refused after all."""
    for key, serial in own.items():
        connection.execute(delete(idempotency).where(_i.id == key, _i.serial == serial))


def forget_old(connection: Connection, now: datetime) -> int:
    """Remove keys whose time is over; return how many."""
    return connection.execute(delete(idempotency).where(_i.expires_at < now)).rowcount
