import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hsm.custodian.config import CustodianSettings, load_settings, validate_settings, write_settings
from hsm.errors import ConfigurationInvalid

RAW: dict[str, Any] = {
    "module": "/usr/lib/softhsm/libsofthsm2.so",
    "token": "mohr-service",
    "pin_file": "secrets/pin",
    "keys_file": "keys.json",
    "socket": "run/custodian.sock",
    "allowed_uids": [1000],
}
HOME = Path("/srv/mohr")


def test_relative_paths_start_at_the_folder_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "custodian.json").write_text(json.dumps(RAW))
    settings = load_settings(tmp_path / "custodian.json")
    assert settings.pin_file == tmp_path / "secrets" / "pin"
    assert settings.module_path == Path("/usr/lib/softhsm/libsofthsm2.so")
    assert settings.tries_file == tmp_path / "keys.json.pin-tries"


def test_who_may_sign_also_administers_unless_said_otherwise() -> None:
    assert validate_settings(RAW, HOME).admin_uids == {1000}
    assert validate_settings({**RAW, "admin_uids": []}, HOME).admin_uids == frozenset()


def test_settings_survive_their_file(tmp_path: Path) -> None:
    settings = replace(
        validate_settings(RAW, HOME),
        environment={"SOFTHSM2_CONF": "/srv/mohr/softhsm2.conf"},
        admin_uids=frozenset({0, 7}),
        pin_tries=5,
    )
    write_settings(settings, tmp_path / "custodian.json")
    assert load_settings(tmp_path / "custodian.json") == settings


@pytest.mark.parametrize(
    "change",
    [
        {"token": ""},
        {"token": "a" * 33},
        {"token": 7},
        {"pin": "1234"},
        {"allowed_uids": []},
        {"allowed_uids": [-1]},
        {"allowed_uids": [True]},
        {"allowed_uids": ["root"]},
        {"socket": "s" * 65},
        {"pin_tries": 0},
        {"pin_tries": True},
        {"environment": {"LD_PRELOAD": "/tmp/evil.so"}},
        {"environment": {"PYTHONPATH": "/tmp"}},
        {"environment": {"A B": "c"}},
        {"environment": {"SOFTHSM2_CONF": 5}},
        {"environment": []},
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


def test_paths_must_be_absolute() -> None:
    with pytest.raises(ConfigurationInvalid):
        CustodianSettings(
            module_path=Path("module.so"),
            token_label="a",
            pin_file=Path("pin"),
            keys_file=Path("keys"),
            socket_path=Path("socket"),
            allowed_uids=frozenset({0}),
            admin_uids=frozenset(),
        )


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"token": "a", "token": "b"}', b" " * 70_000, b"\xff"])
def test_a_settings_file_that_is_not_understood_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "custodian.json").write_bytes(content)
    with pytest.raises(ConfigurationInvalid):
        load_settings(tmp_path / "custodian.json")


def test_a_missing_settings_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid):
        load_settings(tmp_path / "none.json")
