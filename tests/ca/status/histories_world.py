"""Where histories happen: servers over one database, each of which may die, and what anybody fetches from them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from random import Random

from cryptography import x509
from sqlalchemy import select

from ca.config import validate_settings
from ca.hierarchy import Hierarchy, adopt, create_hierarchy
from ca.service import CertificateAuthority
from ca.tables import certificates
from hsm.soft import UnsafeSoftKeys
from pki.errors import Unavailable
from storage.engine import Database, open_database
from storage.ledger_tables import audit_events
from storage.migrate import upgrade
from tests.ca.status.histories_faults import Faults, FaultyDatabase, FaultyKeys
from tests.ca.status.histories_model import ListName, SaidList
from tests.ca.status.histories_reader import ask_about, read_list
from tests.ca.world import FILE_PROFILES, RAW_SETTINGS, FakeClock, World, new_csr
from tests.storage import postgres
from tests.support.officers import EveryOfficer

SETTINGS = validate_settings(replace(RAW_SETTINGS, crl_shards=2))
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
    authority: CertificateAuthority


@dataclass(kw_only=True, repr=False)
class Stage:
    """One history's servers, clock and faults."""

    ground: Ground
    url: str
    random: Random
    clock: FakeClock = field(default_factory=FakeClock)
    faults: Faults = field(default_factory=Faults)
    servers: list[Server] = field(init=False)
    seen_events: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.keys = FaultyKeys(self.ground.ceremony.keys, self.clock, self.faults)
        self.witness = self.ground.open(self.url, SERVERS)
        self.servers = [self._start(number) for number in range(SERVERS)]
        self.new_events()

    def _start(self, number: int) -> Server:
        database = FaultyDatabase(self.ground.open(self.url, number), self.faults)
        authority = CertificateAuthority(
            database, self.keys, SETTINGS, self.clock, gate=EveryOfficer(), random_bytes=self.random.randbytes
        )
        return Server(database=database, authority=authority)

    def restart(self, number: int) -> None:
        """Let a process die and another take its place."""
        self.servers[number].database.close()
        self.servers[number] = self._start(number)

    def close(self) -> None:
        for server in self.servers:
            server.database.close()
        self.witness.close()

    # -- what is on record --------------------------------------------------------------------------

    def new_events(self) -> list[tuple[str, int, datetime]]:
        """Return which certificates' events were committed since the last call: action, serial number, time."""
        statement = select(audit_events.c.id, audit_events.c.action, audit_events.c.subject, audit_events.c.at).where(
            audit_events.c.action.like("certificate.%")
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

    def list_bytes(self, on: ListName, server: int) -> bytes | None:
        found = self.servers[server].authority.latest_crl(on.issuer, on.shard)
        return None if found is None else found.der

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
