"""Keys as operators see them: what each is and serves, and whether it proves itself now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from ca.certificate_queries import named
from ca.tables import named_certificates
from hsm.custodian.config import Pkcs11Settings
from hsm.errors import HsmUnavailable, KeyAbsent, KeyMismatch, KeyNotFound, RoleRefused
from hsm.key_uri import Pkcs11Uri, parse_key_uri
from hsm.provider import KeyInfo, spki_of
from hsm.soft import UnsafeSoftKey
from hsm.transit.settings import parse_transit_settings
from pki.errors import ServiceError
from pki.instants import parse_instant
from pki.keys import SignatureAlgorithm, SigningKey
from storage.engine import Database
from storage.key_use_events import KeyTotal
from tests.ca.conftest import Ceremony, ceremony, sqlite_database  # noqa: F401 - fixtures
from tests.ca.world import START
from webapp.key_inventory import KeyProof, KeyState, check_keys, list_keys, uri_of

TOKEN = Pkcs11Settings(module_path=Path("/usr/lib/module.so"), token="mohr service")
NOW = START + timedelta(days=40, hours=3)


@pytest.fixture
def database(sqlite_database: Database) -> Database:  # noqa: F811 - a fixture
    """What keys serve is read alike from either engine: one will do."""
    return sqlite_database


@dataclass(frozen=True)
class Proof:
    public_key: bytes
    seconds: float = 0.002


@dataclass
class Keeper:
    """The ceremony's keys behind a custodian whose device misbehaves on wish."""

    ceremony: Ceremony
    swapped: Mapping[str, bytes] = field(default_factory=dict)
    failing: Mapping[str, ServiceError] = field(default_factory=dict)
    lost: frozenset[str] = frozenset()

    def keys(self) -> tuple[KeyInfo, ...]:
        return tuple(info for info in self.ceremony.keys.keys() if info.label not in self.lost)

    def signing_key(self, label: str) -> SigningKey:
        return self.ceremony.keys.signing_key(label)

    def attributes(self, label: str) -> Mapping[str, str | int | bool]:
        self._reach(label)
        return {"sensitive": True, "extractable": False}

    def prove(self, label: str) -> KeyProof:
        self._reach(label)
        return Proof(self.swapped.get(label) or spki_of(self.signing_key(label).public_key()))

    def _reach(self, label: str) -> None:
        if label in self.failing:
            raise self.failing[label]


@pytest.fixture
def keeper(ceremony: Ceremony) -> Keeper:  # noqa: F811 - the fixture of that name
    return Keeper(ceremony)


def checked(keeper: Keeper, database: Database) -> dict[str, dict[str, Any]]:
    with database.read() as connection:
        certificates = named(connection).values()
    return {check.label: check.as_json() for check in check_keys(keeper, certificates)}


def listed(keeper: Keeper, database: Database, uses: Mapping[str, KeyTotal]) -> dict[str, dict[str, Any]]:
    with database.read() as connection:
        entries = list_keys(keeper, connection, uses, TOKEN, NOW)
    return {entry.info.label: entry.as_json() for entry in entries}


def test_every_key_of_a_sound_deployment_holds(keeper: Keeper, database: Database) -> None:
    found = checked(keeper, database)
    assert found.keys() == {info.label for info in keeper.keys()}
    assert {check["state"] for check in found.values()} == {KeyState.HOLDS}
    assert [len(found[label]["certificates"]) for label in ("ca-persons", "seal")] == [1, 0]


def test_a_device_that_shows_another_key_is_no_match(keeper: Keeper, database: Database) -> None:
    keeper.swapped = {"tsa": spki_of(UnsafeSoftKey.generate(SignatureAlgorithm.ES256).public_key())}
    found = checked(keeper, database)
    assert [label for label, check in found.items() if check["state"] != KeyState.HOLDS] == ["tsa"]
    assert "another public key" in found["tsa"]["reason"]


def test_a_certificate_for_another_key_is_found(keeper: Keeper, database: Database) -> None:
    with database.begin() as unit:
        unit.connection.execute(
            update(named_certificates).where(named_certificates.c.name == "tsa").values(key_label="token")
        )
    found = checked(keeper, database)
    assert found["token"]["state"] == KeyState.FAILS
    assert "certificate" in found["token"]["reason"]
    assert found["tsa"]["state"] == KeyState.HOLDS


def test_a_key_that_a_certificate_needs_and_nobody_has_is_found(
    keeper: Keeper,
    database: Database,
) -> None:
    keeper.lost = frozenset({"ca-systems"})
    assert checked(keeper, database)["ca-systems"]["reason"] == "hsm-key-not-found"


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (HsmUnavailable("the device does not answer"), KeyState.SILENT),
        (KeyMismatch("another key"), KeyState.FAILS),
        (KeyAbsent("gone"), KeyState.FAILS),
        (KeyNotFound(), KeyState.FAILS),
    ],
)
def test_a_key_that_cannot_be_asked_is_neither_yes_nor_no(
    keeper: Keeper,
    database: Database,
    error: ServiceError,
    state: KeyState,
) -> None:
    keeper.failing = {"tsa": error}
    assert checked(keeper, database)["tsa"]["state"] == state


def test_a_device_that_shows_none_of_its_keys_is_as_good_as_away(
    keeper: Keeper,
    database: Database,
) -> None:
    keeper.failing = {info.label: KeyAbsent("not there") for info in keeper.keys()}
    assert {check["state"] for check in checked(keeper, database).values()} == {KeyState.SILENT}


def test_who_may_not_ask_learns_nothing_of_the_keys(keeper: Keeper, database: Database) -> None:
    keeper.failing = {"tsa": RoleRefused("not yours")}
    with pytest.raises(RoleRefused):
        checked(keeper, database)


def test_a_key_is_listed_with_its_use_its_age_and_the_certificate_it_serves(
    keeper: Keeper,
    database: Database,
) -> None:
    found = listed(keeper, database, {"ca-persons": KeyTotal(count=7, last_use=START)})
    key = found["ca-persons"]
    assert (key["uses"], key["last_use"], key["age_days"]) == (7, "2026-11-22T09:00:00Z", 40)
    assert "Persons" in key["certificate"]["subject"]
    assert parse_instant(key["certificate"]["not_after"]) > NOW
    assert key["attributes"] == {"sensitive": True, "extractable": False}
    read = parse_key_uri(key["uri"])
    assert read == Pkcs11Uri(token="mohr service", object="ca-persons", id=bytes.fromhex(key["id"]))
    assert (found["seal"]["certificate"], found["seal"]["uses"], found["seal"]["last_use"]) == (None, 0, None)


def test_a_transit_key_is_named_by_its_version(keeper: Keeper) -> None:
    info = replace(keeper.keys()[0], id=b"mohr-tsa:3".hex())
    member = {"kind": "transit", "url": "https://127.0.0.1:8200", "auth": {"token_file": "/run/token"}}
    device = parse_transit_settings(member, Path("/"))
    assert uri_of(device, info) == "transit:mohr-tsa;version=3"
    assert uri_of(device, replace(info, id="ea00ff")) is None  # recorded while there was a token


def test_what_the_device_does_not_say_is_null(keeper: Keeper, database: Database) -> None:
    keeper.failing = {"tsa": HsmUnavailable("away")}
    found = listed(keeper, database, {})
    assert found["tsa"]["attributes"] is None
    assert found["seal"]["attributes"] is not None
