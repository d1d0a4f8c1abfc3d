import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.errors import ConfigurationInvalid
from hsm.transit.settings import AppRoleFiles, Marshaling, TokenFile, TransitSettings, parse_transit_settings
from pki.errors import ServiceError

FOLDER = Path("/etc/mohr/custodian")
APPROLE = {"approle": {"mount": "approle", "role_id_file": "role-id", "secret_id_file": "/run/secret-id"}}
MEMBER: dict[str, Any] = {"kind": "transit", "url": "https://bao.example:8200", "auth": APPROLE}

paths = st.from_regex(r"[A-Za-z0-9_-]{1,20}(/[A-Za-z0-9_-]{1,20}){0,3}", fullmatch=True)
files = paths.map(lambda path: FOLDER / path)
settings = st.builds(
    TransitSettings,
    url=st.sampled_from(["https://bao.example:8200", "https://[2001:db8::1]", "http://127.0.0.1:8200", "http://[::1]"]),
    mount=paths,
    auth=st.builds(AppRoleFiles, mount=paths, role_id_file=files, secret_id_file=files)
    | st.builds(TokenFile, token_file=files),
    ca_file=st.none() | files,
    namespace=st.none() | paths,
    marshaling=st.sampled_from(Marshaling),
    batch=st.integers(1, 1_000),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=8,
)


def test_a_member_with_what_is_needed_gets_the_rest_by_default() -> None:
    assert parse_transit_settings(MEMBER, FOLDER) == TransitSettings(
        url="https://bao.example:8200",
        auth=AppRoleFiles(mount="approle", role_id_file=FOLDER / "role-id", secret_id_file=Path("/run/secret-id")),
        mount="transit",
        marshaling=Marshaling.JWS,
        batch=100,
    )


@given(given_settings=settings)
def test_settings_written_as_a_member_read_back_the_same(given_settings: TransitSettings) -> None:
    member = json.loads(json.dumps(given_settings.member()))
    assert parse_transit_settings(member, Path("/elsewhere")) == given_settings


@given(changes=st.dictionaries(st.sampled_from([*MEMBER, "mount", "batch", "ca_file", "other"]), json_values))
def test_any_json_gives_settings_or_a_configuration_error(changes: dict[str, Any]) -> None:
    try:
        parsed = parse_transit_settings(MEMBER | changes, FOLDER)
    except ServiceError as error:
        assert isinstance(error, ConfigurationInvalid)
    else:
        assert parse_transit_settings(parsed.member(), FOLDER) == parsed


@pytest.mark.parametrize(
    "url",
    [
        "http://bao.example:8200",
        "http://10.0.0.1",
        "http://127.0.0.1.example",
        "ftp://127.0.0.1",
        "https://user:word@bao.example",
        "https://bao.example/v1",
        "https://bao.example?x",
        "https://bao.example#x",
        "https://bao.example:port",
        "https://bao example",
        "https://",
        "bao.example",
    ],
)
def test_a_url_without_tls_or_with_more_than_an_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationInvalid) as refused:
        parse_transit_settings(MEMBER | {"url": url}, FOLDER)
    assert "word" not in str(refused.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "pkcs11"},
        {"mount": "../sys"},
        {"mount": "transit/"},
        {"namespace": "a?b"},
        {"batch": 0},
        {"batch": 1001},
        {"batch": True},
        {"marshaling": "der"},
        {"token": "s.secret"},
        {"ca_file": ""},
        {"auth": {}},
        {"auth": {"token_file": "t", **APPROLE}},
        {"auth": {"token": "s.secret"}},
        {"auth": {"approle": {"role_id_file": "r"}}},
        {"auth": {"approle": {"role_id_file": "r", "secret_id_file": "s", "secret_id": "s.secret"}}},
        {"auth": {"approle": {"role_id_file": "r", "secret_id_file": "s", "mount": "a//b"}}},
    ],
)
def test_a_member_that_cannot_be_used_is_refused_without_its_secret(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationInvalid) as refused:
        parse_transit_settings(MEMBER | changes, FOLDER)
    assert "s.secret" not in str(refused.value)
