"""What custodians' journals, intents, certificates and ledger must say of each other, whatever was killed meanwhile."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import Connection, text

from ca.custody_policy import OPERATOR
from ca.hierarchy import authority_key
from ca.profiles import IssuerName
from hsm.client import CustodianClient
from hsm.errors import HsmUnavailable
from pki.certificates import Certificate
from pki.journal import DONE, parse_line
from storage.engine import open_database
from tests.support.separated import until
from webapp.custody import sockets_for
from webapp.deployment import Deployment

PAGE = 1000
_ROWS = text(
    "SELECT serial, state, der, sign_group, sign_position, tbs_sha256 FROM certificates"
    " WHERE id >= :first AND requested_by = :actor"
)
_INTENTS = text("SELECT serial, sign_group, sign_position, tbs_sha256 FROM certificates WHERE tbs_sha256 IS NOT NULL")


@contextmanager
def reading(deployment: Deployment) -> Iterator[Connection]:
    """Read a deployment's database, SQLite or PostgreSQL, beside its programs."""
    database = open_database(deployment.database_url(deployment.settings()))
    try:
        with database.read() as connection:
            yield connection
    finally:
        database.close()


@dataclass(frozen=True, kw_only=True)
class Story:
    """What an actor ordered since this was made."""

    deployment: Deployment
    actor: str
    first: int

    @staticmethod
    def begin(deployment: Deployment, actor: str) -> Story:
        """Begin now."""
        with reading(deployment) as connection:
            last = connection.execute(text("SELECT max(id) FROM certificates")).scalar_one()
        return Story(deployment=deployment, actor=actor, first=(last or 0) + 1)

    def check(self, answered: set[str]) -> int:
        """Check each row, and that the good ones are those `answered`; return how many were abandoned.

        No signature without its durable intent, none that is not told, and no serial number twice.
        """
        issuer = Certificate.parse(self.deployment.certificate_file("persons").read_bytes())
        signed = self._signed()  # before the rows: each intent was written before its signature
        with reading(self.deployment) as connection:
            rows = connection.execute(_ROWS, {"first": self.first, "actor": self.actor}).all()
            events = {tuple(row) for row in connection.execute(text("SELECT subject, action FROM audit_events"))}
            twice = text("SELECT count(*) - count(DISTINCT serial) FROM certificates")
            assert connection.execute(twice).scalar_one() == 0
            asked: dict[str, dict[int, bytes]] = defaultdict(dict)
            for serial, group, position, tbs in connection.execute(_INTENTS):
                asked[group or serial][position or 0] = bytes(tbs)
        good: set[str] = set()
        for serial, state, der, _, _, tbs in rows:
            assert state in ("good", "issued", "abandoned"), state
            assert (serial, "certificate.intended") in events
            assert ((serial, "certificate.issued") in events) == (state != "abandoned")
            assert ((serial, "certificate.abandoned") in events) == (state == "abandoned")
            if state != "abandoned":
                certificate = Certificate.parse(bytes(der))
                certificate.verify_signed_by(issuer)
                assert (certificate.serial_hex, sha256(certificate.tbs).digest()) == (serial, bytes(tbs))
                good.add(serial)
        assert good == answered
        assert signed <= {_digest(members) for members in asked.values()}, "something was signed without its intent"
        assert {_digest(asked[group]) for _, state, _, group, _, _ in rows if state != "abandoned"} <= signed
        return len(rows) - len(good)

    def _signed(self) -> set[bytes]:
        """Return the digests of all certificates that the persons' authority signed, by every journal."""
        lines = [*self._waiting()]
        with reading(self.deployment) as connection:  # after the others: what is taken is here first, then gone there
            lines += [bytes(line) for (line,) in connection.execute(text("SELECT line FROM key_uses"))]
        label, uses = authority_key(IssuerName.PERSONS), (parse_line(line).use for line in lines)
        return {use.digest for use in uses if (use.key, use.act, use.outcome) == (label, "certificate", DONE)}

    def _waiting(self) -> Iterator[bytes]:
        """Yield the lines that the custodians still have; one that was killed a moment ago is waited for."""
        sockets = sockets_for(self.deployment, OPERATOR)
        with closing(CustodianClient(sockets)) as client:
            for index, socket in enumerate(sockets):
                after = 0
                while socket.exists() and (lines := _lines(client, index, after)):
                    yield from lines
                    after = parse_line(lines[-1]).sequence


def _lines(client: CustodianClient, index: int, after: int) -> tuple[bytes, ...]:
    found: list[tuple[bytes, ...]] = []

    def is_there() -> bool:
        with suppress(HsmUnavailable):
            found.append(tuple(client.journal(index, after, PAGE).lines))
        return bool(found)

    until(is_there, f"custodian {index} answers")
    return found[0]


def _digest(members: dict[int, bytes]) -> bytes:
    """Return what the journal says of messages that were signed together."""
    ordered = [members[position] for position in sorted(members)]
    return ordered[0] if len(ordered) == 1 else sha256(b"".join(ordered)).digest()
