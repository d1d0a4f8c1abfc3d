import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hsm.custodian.config import (
    PinSettings,
    Pkcs11Settings,
    load_settings,
    role_sockets,
    validate_settings,
    write_settings,
)
from hsm.errors import ConfigurationInvalid

DEVICE: dict[str, Any] = {"kind": "pkcs11", "module": "/usr/lib/softhsm/libsofthsm2.so", "token": "mohr-service"}
RAW: dict[str, Any] = {
    "device": DEVICE,
    "pin": {"file": "secrets/pin"},
    "keys_file": "keys.json",
    "policy_file": "policy.json",
    "marks": "marks",
    "journal": "journal",
    "sockets": "run",
}
TRANSIT: dict[str, Any] = {"kind": "transit", "url": "https://bao.example:8200", "auth": {"token_file": "token"}}
HOME = Path("/srv/mohr")


def test_relative_paths_start_at_the_folder_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "custodian.json").write_text(json.dumps(RAW))
    settings = load_settings(tmp_path / "custodian.json")
    assert settings.pin == PinSettings(file=tmp_path / "secrets" / "pin")
    assert isinstance(settings.device, Pkcs11Settings)
    assert settings.device.module_path == Path("/usr/lib/softhsm/libsofthsm2.so")
    assert settings.tries_file == tmp_path / "keys.json.pin-tries"


def test_each_custodian_has_a_journal_and_sockets_of_its_own() -> None:
    settings = validate_settings(RAW, HOME)
    assert settings.journal_folder(1) == HOME / "journal" / "1"
    assert settings.socket_path("server", 1) == HOME / "run" / "server" / "1.sock"
    assert settings.lock_file(0) != settings.lock_file(1)
    assert role_sockets(HOME / "run", "server", 2) == (
        HOME / "run" / "server" / "0.sock",
        HOME / "run" / "server" / "1.sock",
    )


@pytest.mark.parametrize("role", ["", "a" * 65, "../secrets", "/", "."])
def test_a_role_names_a_folder_and_no_other_place(role: str) -> None:
    with pytest.raises(ConfigurationInvalid):
        role_sockets(HOME, role, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"pin_tries": 5},
        {"pin": {"keeper": "/run/keeper.sock"}},
        {"device": {**DEVICE, "environment": {"SOFTHSM2_CONF": "/srv/mohr/softhsm2.conf"}}},
        {"device": {**DEVICE, "token": "pkcs11:token=mohr;serial=0123"}},
        {"device": TRANSIT},
    ],
    ids=str,
)
def test_settings_survive_their_file(tmp_path: Path, change: dict[str, Any]) -> None:
    settings = validate_settings(RAW | change, HOME)
    write_settings(settings, tmp_path / "custodian.json")
    assert load_settings(tmp_path / "custodian.json") == settings


def test_a_key_store_with_logins_of_its_own_needs_no_pin() -> None:
    raw = {name: value for name, value in RAW.items() if name != "pin"}
    assert validate_settings(raw | {"device": TRANSIT}, HOME).pin is None


@pytest.mark.parametrize(
    "change",
    [
        {"device": {**DEVICE, "token": ""}},
        {"device": {**DEVICE, "token": "a" * 33}},
        {"device": {**DEVICE, "token": 7}},
        {"device": {**DEVICE, "token": "pkcs11:object=key"}},
        {"device": {**DEVICE, "kind": "soft"}},
        {"device": {**DEVICE, "slot": 3}},
        {"device": {"kind": "transit"}},
        {"device": {**DEVICE, "environment": {"LD_PRELOAD": "/tmp/evil.so"}}},
        {"device": {**DEVICE, "environment": {"PYTHONPATH": "/tmp"}}},
        {"device": {**DEVICE, "environment": {"A B": "c"}}},
        {"device": {**DEVICE, "environment": {"SOFTHSM2_CONF": 5}}},
        {"device": {**DEVICE, "environment": []}},
        {"pin": "1234"},
        {"pin": {}},
        {"pin": {"file": "a", "keeper": "b"}},
        {"pin": {"value": "1234"}},
        {"pin_tries": 0},
        {"pin_tries": True},
        {"allowed_uids": [0]},
    ],
    ids=str,
)
def test_settings_that_make_no_sense_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ConfigurationInvalid):
        validate_settings({**RAW, **change}, HOME)


@pytest.mark.parametrize("name", RAW)
def test_each_needed_member_is_asked_for(name: str) -> None:
    with pytest.raises(ConfigurationInvalid, match=name):
        validate_settings({key: value for key, value in RAW.items() if key != name}, HOME)


@pytest.mark.parametrize("name", ["keys_file", "policy_file", "marks", "journal", "sockets"])
def test_paths_must_be_absolute(name: str) -> None:
    with pytest.raises(ConfigurationInvalid):
        replace(validate_settings(RAW, HOME), **{name: Path("here")})  # type: ignore[arg-type]  # each is a path


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{",
        b'{"token": "a", "token": "b"}',
        b" " * 70_000,
        b"\xff",
        b'{"sockets": "\\ud800"}',
        b"[" * 60_000,
    ],
)
def test_a_settings_file_that_is_not_understood_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "custodian.json").write_bytes(content)
    with pytest.raises(ConfigurationInvalid):
        load_settings(tmp_path / "custodian.json")


def test_what_is_wrong_in_a_settings_file_is_told_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "custodian.json").write_text('{"device": {"kind": "foo"}}')
    with pytest.raises(ConfigurationInvalid, match=r"custodian\.json: missing"):
        load_settings(tmp_path / "custodian.json")


def test_a_missing_settings_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid):
        load_settings(tmp_path / "none.json")
