from __future__ import annotations

from dataclasses import replace

import pytest

from ca.config import MAX_NOTICE, PILOT_NOTICE, PersonSerial, RawAuthoritySettings, validate_settings
from pki.errors import ErrorCode, InvalidInput

RAW = RawAuthoritySettings(public_url="http://mohr.example:8080", organization="مهر")


def test_settings_say_where_status_is_answered() -> None:
    settings = validate_settings(RAW)
    assert settings.ocsp_url == "http://mohr.example:8080/ocsp"
    assert settings.crl_url("persons", 3) == "http://mohr.example:8080/crl/persons/3.crl"
    assert settings.issuer_url("root") == "http://mohr.example:8080/ca/root.cer"


@pytest.mark.parametrize(
    ("public", "status", "expected"),
    [
        ("https://mohr.example", None, "http://mohr.example"),
        ("https://mohr.example:8443/a", None, "http://mohr.example/a"),
        ("https://[::1]:8443", None, "http://[::1]"),
        ("https://mohr.example", "http://status.mohr.example:81", "http://status.mohr.example:81"),
    ],
)
def test_status_pointers_are_plain_http_even_where_people_use_tls(
    public: str, status: str | None, expected: str
) -> None:
    assert validate_settings(replace(RAW, public_url=public, status_url=status)).status_url == expected


def test_the_root_has_one_shard_and_the_others_share_their_serials_out() -> None:
    settings = validate_settings(replace(RAW, crl_shards=4))
    assert {settings.shard_of("root", serial) for serial in range(50)} == {0}
    assert {settings.shard_of("persons", serial) for serial in range(50)} == {0, 1, 2, 3}


def test_the_pilots_notice_fits_into_a_certificate_policy() -> None:
    assert len(PILOT_NOTICE) <= MAX_NOTICE
    assert "internal use only" in PILOT_NOTICE


@pytest.mark.parametrize(
    "changes",
    [
        {"public_url": "ftp://mohr.example"},
        {"public_url": "http://mohr.example/"},
        {"public_url": "http://"},
        {"public_url": "http://mohr.example:port"},
        {"public_url": "http://mohr.example/a b"},
        {"public_url": "http://mohr.example?x"},
        {"public_url": "http://" + "a" * 200 + ".example"},
        {"status_url": "https://status.example"},
        {"country": "ir"},
        {"country": "IRN"},
        {"oid_arc": "2.16.364.101.1.1"},
        {"oid_arc": "1.3.6.01"},
        {"oid_arc": "x"},
        {"crl_shards": 0},
        {"crl_shards": 5000},
        {"policy_notice": ""},
        {"policy_notice": "x" * 201},
        {"policy_notice": "a\nb"},
        {"backdate_seconds": -1},
        {"backdate_seconds": 3601},
        {"person_serial": "name"},
        {"refused_keys": ("AB" * 32,)},
        {"refused_keys": ("ab" * 31,)},
        {"organization": ""},
        {"organization": "a\u202eb"},
    ],
)
def test_a_bad_setting_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidInput) as caught:
        validate_settings(replace(RAW, **changes))  # type: ignore[arg-type]  # that is the point
    assert caught.value.code in (ErrorCode.INPUT_MALFORMED, ErrorCode.IDENTITY_INVALID)


def test_the_national_code_is_shown_unless_the_deployer_asks_for_an_opaque_number() -> None:
    assert validate_settings(RAW).person_serial is PersonSerial.NATIONAL_CODE
    assert validate_settings(replace(RAW, person_serial="opaque")).person_serial is PersonSerial.OPAQUE
