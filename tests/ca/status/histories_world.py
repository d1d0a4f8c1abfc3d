"""Where histories happen: servers over one database, each of which may die, and what anybody fetches from them."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random

from cryptography import x509
from sqlalchemy import select

from ca.hierarchy import Hierarchy, adopt, create_hierarchy
from ca.recovery.guard import SettledClock
from ca.service import CertificateAuthority
from ca.status.acts.proposals import ProposalDesk
from ca.tables import certificates
from hsm.soft import UnsafeSoftKeys
from pki.audit import AuditAction
from pki.errors import Unavailable
from storage.engine import Database, open_database
from storage.ledger_tables import audit_events
from storage.migrate import upgrade
from tests.ca.status.histories_faults import Faults, FaultyDatabase, FaultyKeys, FaultyStore
from tests.ca.status.histories_model import ListName, SaidList
from tests.ca.status.histories_reader import ask_about, read_list
from tests.ca.status.histories_recovery import Outliving
from tests.ca.status.histories_settings import SETTINGS
from tests.ca.world import FILE_PROFILES, FakeClock, World, new_csr
from tests.storage import postgres
from tests.support.officers import EveryOfficer

PROFILES = {"persons": "clin-sign", "institutions": "hix-tls"}
WAITING = {"clin-sign"}  # which their holders activate
LISTS = tuple(ListName(issuer=issuer, shard=shard) for issuer in PROFILES for shard in range(SETTINGS.crl_shards))
KEYS = 5  # of holders, for each profile: some get several certificates
SERVERS = 2


Copies = Callable[[], AbstractContextManager[str]]
"""Lends the URL of a fresh database with the ground's rows."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Ceremony:
    """A hierarchy, its keys and holders' wishes: what histories on all databases begin with."""

    hierarchy: Hierarchy
    keys: UnsafeSoftKeys
    csrs: dict[str, tuple[bytes, ...]]
    issuers: dict[str, x509.Certificate]

    @staticmethod
    def hold() -> Ceremony:
        clock = FakeClock()
        root, service = UnsafeSoftKeys(clock), UnsafeSoftKeys(clock)
        hierarchy = create_hierarchy(root, service, SETTINGS, clock)
        return Ceremony(
            hierarchy=hierarchy,
            keys=service,
            csrs={profile: tuple(new_csr() for _ in range(KEYS)) for profile in PROFILES.values()},
            issuers={name: x509.load_der_x509_certificate(hierarchy.certificate(name)) for name in PROFILES},
        )

    def adopt(self, database: Database) -> dict[str, str]:
        """Fill a migrated database; return the id of the approved file of each profile."""
        clock = FakeClock()
        adopt(database, self.hierarchy, SETTINGS, clock, "init")
        authority = CertificateAuthority(database, self.keys, SETTINGS, clock, gate=EveryOfficer())
        world = World(authority=authority, database=database, keys=self.keys, hierarchy=self.hierarchy, clock=clock)
        return {profile: world.approved(FILE_PROFILES[profile]).id for profile in PROFILES.values()}


@dataclass(frozen=True, kw_only=True, repr=False)
class Ground:
    """One engine with everything that a history begins with."""

    ceremony: Ceremony
    files: dict[str, str]
    copies: Copies
    opened: dict[tuple[str, int], Database] = field(default_factory=dict)

    def open(self, url: str, process: int) -> Database:
        """Return what one process opens; its statements are compiled once for all histories."""
        if (url, process) not in self.opened:
            self.opened[url, process] = open_database(url)
        return self.opened[url, process]

    def close(self) -> None:
        for database in self.opened.values():
            database.close()

    @staticmethod
    def in_files(ceremony: Ceremony, folder: Path) -> Ground:
        """Prepare a SQLite file to be copied."""
        template, copy = folder / "template.db", folder / "mohr.db"
        database = open_database(f"sqlite:///{template}")
        upgrade(database)
        files = ceremony.adopt(database)
        database.close()

        @contextmanager
        def copies() -> Iterator[str]:
            shutil.copyfile(template, copy)
            try:
                yield f"sqlite:///{copy}"
            finally:
                for rest in folder.glob("mohr.db*"):
                    rest.unlink()

        return Ground(ceremony=ceremony, files=files, copies=copies)

    @staticmethod
    def on_postgresql(ceremony: Ceremony, server: Path) -> Ground:
        """Prepare databases of a server that has the migrated `template`."""
        postgres.execute(server, "CREATE DATABASE histories TEMPLATE template")
        database = open_database(postgres.url_of(server, "histories"))
        files = ceremony.adopt(database)
        database.close()
        pool = postgres.Pool(server, template="histories")

        @contextmanager
        def copies() -> Iterator[str]:
            name = pool.take()
            try:
                yield pool.url_of(name)
            finally:
                pool.give_back(name)

        return Ground(ceremony=ceremony, files=files, copies=copies)


@dataclass(kw_only=True, repr=False)
class Server:
    """One process: what it remembers is gone when it dies."""

    database: FaultyDatabase
    store: FaultyStore
    authority: CertificateAuthority
    proposals: ProposalDesk

    def follow(self) -> None:
        """Do what each process does twice a second."""
        with suppress(Unavailable):
            self.authority.follow_changes()

    def close(self) -> None:
        self.store.close()
        self.database.close()


@dataclass(kw_only=True, repr=False)
class Stage:
    """One history's servers, clock and faults."""

    ground: Ground
    url: str
    answers: Path
    random: Random
    clock: FakeClock = field(default_factory=FakeClock)
    faults: Faults = field(default_factory=Faults)
    servers: list[Server] = field(init=False)
    seen_events: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.keys = FaultyKeys(self.ground.ceremony.keys, self.clock, self.faults)
        self.outliving = Outliving(folder=self.answers.parent, clock=self.clock)
        self.witness = self.ground.open(self.url, SERVERS)
        self.servers = [self._start(number) for number in range(SERVERS)]
        self.new_events()

    def _start(self, number: int) -> Server:
        database = FaultyDatabase(self.ground.open(self.url, number), self.faults)
        store = FaultyStore(self.answers, self.faults)
        guard = self.outliving.guard(database)
        authority = CertificateAuthority(
            database,
            self.keys,
            SETTINGS,
            self.clock,
            gate=EveryOfficer(),
            before_intent=guard.check_issuing,
            before_activation=guard.check_issuing,
            believed=SettledClock(self.clock, guard),
            random_bytes=self.random.randbytes,
            answers=store,
        )
        proposals = ProposalDesk(database, authority, EveryOfficer(), SETTINGS, self.clock)
        return Server(database=database, store=store, authority=authority, proposals=proposals)

    def restart(self, number: int) -> None:
        """Let a process die and another take its place."""
        self.servers[number].close()
        self.servers[number] = self._start(number)

    def close(self) -> None:
        for server in self.servers:
            server.close()
        self.witness.close()

    def back_up(self) -> None:
        """Copy the register, where that is a file."""
        if self.witness.dialect == "sqlite":
            self.outliving.back_up(self.witness)

    def lose_register(self) -> bool:
        """Put the backup in the register's place, if there is one, once the ledger on disk knows everything."""
        if not self.outliving.backup.exists():
            return False
        self.outliving.seal(self.witness)
        self.close()
        self.outliving.put_back(Path(str(self.witness.engine.url.database)))
        for number in range(SERVERS):
            self.restart(number)
        return True

    # -- what is on record --------------------------------------------------------------------------

    def new_events(self) -> list[tuple[str, int, datetime]]:
        """Return which certificates' events were committed since the last call: action, serial number, time."""
        statement = select(audit_events.c.id, audit_events.c.action, audit_events.c.subject, audit_events.c.at).where(
            audit_events.c.action.like("certificate.%") | (audit_events.c.action == AuditAction.REVOCATION_PROPOSED)
        )
        with self.witness.read() as connection:
            rows = [row for row in connection.execute(statement) if row.id not in self.seen_events]
        self.seen_events.update(row.id for row in rows)
        return [(row.action, int(row.subject, 16), row.at) for row in rows]

    def certificate(self, serial: int) -> bytes:
        """Return a certificate as the register keeps it."""
        with self.witness.read() as connection:
            ders = connection.execute(select(certificates.c.serial, certificates.c.der)).all()
        return next(bytes(row.der) for row in ders if int(row.serial, 16) == serial)

    # -- what anybody fetches -------------------------------------------------------------------------

    def list_bytes(self, on: ListName, server: int) -> tuple[bytes | None, bytes | None]:
        """Fetch a list and its delta."""
        authority = self.servers[server].authority
        found = authority.latest_crl(on.issuer, on.shard), authority.latest_delta(on.issuer, on.shard)
        full, delta = (None if one is None else one.der for one in found)
        return full, delta

    def read_list(self, on: ListName, data: bytes) -> SaidList:
        url = SETTINGS.crl_url(on.issuer, on.shard)
        return read_list(data, self.ground.ceremony.issuers[on.issuer], url)

    def ocsp(self, serial: int, issuer: str, server: int, nonce: bytes | None = None) -> bytes:
        """Ask a server as its status address does; `tryLater` where it cannot answer now."""
        request = ask_about(serial, self.ground.ceremony.issuers[issuer], nonce)
        try:
            return self.servers[server].authority.ocsp(request)
        except Unavailable:
            return bytes.fromhex("30030a0103")


# -- what may become of the file of answers ------------------------------------------------------------


def lose(answers: Path, _random: Random) -> None:
    for file in answers.parent.glob(f"{answers.name}*"):
        if not file.name.endswith(".kept"):
            file.unlink()


def spoil(answers: Path, random: Random) -> None:
    """Write some octets over a page of it."""
    if answers.exists():
        with answers.open("r+b") as file:
            file.seek(random.randrange(answers.stat().st_size))
            file.write(random.randbytes(random.choice((1, 16, 4096))))


def keep(answers: Path, _random: Random) -> None:
    """Make a backup of it."""
    if answers.exists():
        kept = answers.with_name(f"{answers.name}.kept")
        kept.unlink(missing_ok=True)
        with (
            closing(sqlite3.connect(answers)) as source,
            closing(sqlite3.connect(kept)) as copy,
            suppress(sqlite3.Error),
        ):
            source.backup(copy)


def put_back(answers: Path, random: Random) -> None:
    """Put the backup in its place: it is older than the rows."""
    kept = answers.with_name(f"{answers.name}.kept")
    if kept.exists():
        lose(answers, random)
        kept.rename(answers)
