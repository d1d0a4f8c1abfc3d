"""What a crash leaves of issuing, and how it is told from what is under way.

Each intent names the server that made it; a server holds a lock that ends with its process. Intents of the dead are
abandoned at once, whatever their age: their certificates were given to nobody, and none is ever finished later.
"""

import platform
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from ca import certificate_queries
from ca.issuing import idempotency
from ca.issuing.endings import abandon
from ca.issuing.tables import servers
from pki.clock import Clock
from storage.engine import Database
from storage.presence import forget, is_alive

INTENT_PATIENCE: Final = timedelta(minutes=5)
_MAX_HOST: Final = 255

_s = servers.c
_ENROL: Final = {
    "sqlite": sqlite.insert(servers).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(servers).on_conflict_do_nothing(),
}


def enrol(connection: Connection, server: str, now: datetime) -> None:
    """Write down a server that begins to issue."""
    row = {"id": server, "host": platform.node()[:_MAX_HOST], "started_at": now}
    connection.execute(_ENROL[connection.dialect.name], row)


class Recovery:
    """Put right what programs that ended left behind. Idempotent; run at a start and from time to time."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def reconcile(self) -> tuple[str, ...]:
        """Abandon every intent of dead servers, and of others what has waited five minutes; return serial numbers.

        Unavailable when the database does not answer, or does not let the dead be told from the living.
        """
        dead = self._dead()
        abandoned: list[str] = []
        while True:
            before = self._clock.now() - INTENT_PATIENCE
            with self._database.read() as connection:
                serials = certificate_queries.open_intents(connection, before, servers=dead)
            if not serials:
                break
            with self._database.begin() as unit:
                abandoned += abandon(unit, serials, self._clock.now())
        self._forget(dead)
        return tuple(abandoned)

    def _dead(self) -> tuple[str, ...]:
        with self._database.read() as connection:
            known = {*connection.execute(select(_s.id)).scalars(), *certificate_queries.servers_of_intents(connection)}
        return tuple(server for server in known if not is_alive(self._database, server))

    def _forget(self, dead: tuple[str, ...]) -> None:
        """Remove servers whose last intent is settled, and orders that are remembered no longer."""
        with self._database.begin() as unit:
            idempotency.forget_old(unit.connection, self._clock.now())
            unit.connection.execute(delete(servers).where(_s.id.in_(dead)))
        for server in dead:
            forget(self._database, server)
