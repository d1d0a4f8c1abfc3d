"""A deployment with officers: three founders, and as many others as a test enrols."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256

import pytest

from ca.officers.desk import OfficerDesk
from ca.officers.gate import RegisterGate
from ca.officers.identity import Act, Officer, Role, TlsPeer
from ca.officers.realms import Level, Realm
from ca.officers.records import Grant
from ca.officers.scopes import EVERYTHING, Scope
from hsm.soft import UnsafeSoftKey
from pki.csr import build_csr
from pki.keys import SignatureAlgorithm
from tests.ca.world import World, file_json

CEREMONY = Officer.of_deployment("mohr init")
ALL_ROLES = tuple(Role)


@dataclass(repr=False)
class Offices:
    """The officers of a world, with their keys and certificates."""

    world: World
    keys: dict[str, UnsafeSoftKey] = field(default_factory=dict)
    certificates: dict[str, bytes] = field(default_factory=dict)

    @cached_property
    def gate(self) -> RegisterGate:
        return RegisterGate(self.world.database, self.world.clock)

    @cached_property
    def desk(self) -> OfficerDesk:
        return OfficerDesk(self.world.database, self.gate, self.world.clock, self.world.settings.identities)

    def certify(self, officer_id: str, *, unapproved: bool = False) -> bytes:
        """Issue an officer's certificate for a new key."""
        key = self.keys[officer_id] = UnsafeSoftKey.generate(SignatureAlgorithm.ES256)
        members = {"kind": "officer", "officer_id": officer_id, "given_name": "الف", "surname": "آزمایشی"}
        if unapproved:
            file = self.world.authority.submit_file(file_json(members), CEREMONY)
        else:
            file = self.world.approved(members)
        request = build_csr(key, "a wish")
        issued = self.world.authority.issue("officer-auth", file.id, request, "ceremony", unapproved=unapproved)
        self.certificates[officer_id] = issued.der
        return issued.der

    def found(self, officer_id: str, *roles: Role) -> Officer:
        self.desk.found(officer_id, "یک کارمند", self.certify(officer_id, unapproved=True), roles, CEREMONY)
        return self.of(officer_id)

    def enrol(self, officer_id: str, realm: str, by: Officer, other: Officer) -> Officer:
        """Enrol an officer with a certificate and no role."""
        self.desk.enrol(officer_id, "یک کارمند", None, realm, by)
        self.desk.bind(officer_id, self.certify(officer_id), other)
        return self.of(officer_id)

    def grant(
        self, officer_id: str, role: Role, realm: str, by: Officer, other: Officer, scope: Scope = EVERYTHING
    ) -> None:
        request = self.desk.request_role(officer_id, Grant(role=role, realm=realm, scope=scope), by)
        self.desk.approve_role(request.id, other)

    def of(self, officer_id: str) -> Officer:
        """The officer as their connection proves them."""
        return self.gate.of_peer(self.certificates[officer_id])

    def claimed(self, officer_id: str) -> Officer:
        """The officer by certificate, without asking the gate."""
        digest = sha256(self.certificates[officer_id]).digest()
        return Officer(id=officer_id, proof=TlsPeer(certificate_sha256=digest))

    def allow(self, officer: Officer, act: Act, scope: Scope = EVERYTHING, realm: str | None = None) -> None:
        with self.world.database.begin() as unit:
            self.gate.allow(officer, act, scope, unit, realm=realm)


@pytest.fixture
def offices(world: World) -> Offices:
    """A deployment without an officer."""
    return Offices(world)


@pytest.fixture
def founded(offices: Offices) -> Offices:
    """A deployment with its three founders, who may do everything."""
    for officer_id in ("parsa", "akbari", "bahrami"):
        offices.found(officer_id, *ALL_ROLES)
    return offices


@pytest.fixture
def realms(founded: Offices) -> Offices:
    """The same with a university that is for two professions in two provinces, and a hospital in one of them."""
    university = Scope(professions=frozenset({"physician", "nurse"}), provinces=frozenset({"تهران", "البرز"}))
    hospital = replace(university, provinces=frozenset({"تهران"}))
    for realm in (
        Realm(id="university", parent="ministry", level=Level.UNIVERSITY, name="دانشگاه", scope=university),
        Realm(id="hospital", parent="university", level=Level.HOSPITAL, name="بیمارستان", scope=hospital),
    ):
        founded.desk.add_realm(realm, founded.of("parsa"))
    return founded
