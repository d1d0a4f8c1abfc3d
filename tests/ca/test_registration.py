from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.officers.identity import Officer
from ca.profiles import HolderKind
from ca.registration import KeyStorage, SystemIdentity, parse_registration, registration_json
from pki.errors import ErrorCode, InvalidInput, ServiceError
from pki.identity import CentreIdentity, ClinicianIdentity
from pki.identity_file import pilot_identities
from tests.ca.world import CENTRE, CITIZEN, CLINICIAN, SYSTEM, file_json

DIGEST = "ab" * 32


@pytest.mark.parametrize("members", [CLINICIAN, CITIZEN, CENTRE, SYSTEM], ids=lambda members: members["kind"])
def test_what_is_stored_reads_back_as_the_same_registration(members: dict[str, Any]) -> None:
    read = parse_registration(file_json(members), pilot_identities())
    assert parse_registration(registration_json(read), pilot_identities()) == read


def test_a_clinicians_file_is_normalised_once() -> None:
    members = {**CLINICIAN, "national_code": "۰۰۰۰۰۱۲۳۴۳", "given_name": "  علي ", "council_number": "۱۲۳۴۵"}
    read = parse_registration(file_json(members), pilot_identities())
    assert isinstance(read.identity, ClinicianIdentity)
    assert read.identity.given_name == "علی"
    assert (read.holder, read.licence, read.display_name) == ("0000012343", "12345", "علی رضایی")
    assert read.identity.profession == "physician"
    assert (read.kind, read.key_storage) == (HolderKind.CLINICIAN, KeyStorage.HARDWARE)


def test_a_centres_keys_are_software_unless_the_file_says_otherwise() -> None:
    assert parse_registration(file_json(CENTRE), pilot_identities()).key_storage is KeyStorage.SOFTWARE
    hardware = parse_registration(file_json({**CENTRE, "key_storage": "hardware"}), pilot_identities())
    assert hardware.key_storage is KeyStorage.HARDWARE
    assert isinstance(hardware.identity, CentreIdentity)
    assert hardware.holder == "c-1001"


def test_a_system_names_its_hosts() -> None:
    read = parse_registration(
        file_json({**SYSTEM, "hosts": ["a.example", "192.0.2.1", "2001:DB8::1"]}), pilot_identities()
    )
    assert isinstance(read.identity, SystemIdentity)
    assert read.identity.hosts == ("a.example", "192.0.2.1", "2001:db8::1")


def test_evidence_is_kept() -> None:
    read = parse_registration(
        file_json({**CITIZEN, "evidence": [{"what": "کارت ملی", "sha256": DIGEST}]}), pilot_identities()
    )
    assert [(item.what, item.sha256) for item in read.evidence] == [("کارت ملی", DIGEST)]
    assert parse_registration(registration_json(read), pilot_identities()) == read


BAD = [
    ({**CLINICIAN, "national_code": "0000012344"}, ErrorCode.IDENTITY_INVALID),
    ({**CLINICIAN, "national_code": 12343}, ErrorCode.INPUT_MALFORMED),
    ({**CLINICIAN, "profession": "surgeon"}, ErrorCode.INPUT_MALFORMED),
    ({**CLINICIAN, "council_number": "12"}, ErrorCode.IDENTITY_INVALID),
    ({**CLINICIAN, "profession": "midwife", "council_number": "م-1234"}, ErrorCode.IDENTITY_INVALID),
    ({**CLINICIAN, "given_name": "a\u202eb"}, ErrorCode.IDENTITY_INVALID),
    ({**CLINICIAN, "surname": "x" * 65}, ErrorCode.IDENTITY_INVALID),
    ({**CLINICIAN, "surname": ""}, ErrorCode.IDENTITY_INVALID),
    ({**CLINICIAN, "role": "admin"}, ErrorCode.INPUT_MALFORMED),
    ({**CLINICIAN, "key_storage": "cloud"}, ErrorCode.INPUT_MALFORMED),
    ({**CLINICIAN, "evidence": "card"}, ErrorCode.INPUT_MALFORMED),
    ({**CLINICIAN, "evidence": ["card"]}, ErrorCode.INPUT_MALFORMED),
    ({**CLINICIAN, "evidence": [{"what": "card", "sha256": "AB" * 32}]}, ErrorCode.INPUT_MALFORMED),
    ({**CLINICIAN, "evidence": [{"what": "card", "sha256": DIGEST, "by": "x"}]}, ErrorCode.INPUT_MALFORMED),
    ({**CLINICIAN, "evidence": [{"what": "card", "sha256": DIGEST}] * 17}, ErrorCode.INPUT_MALFORMED),
    ({**CITIZEN, "council_number": "12345"}, ErrorCode.INPUT_MALFORMED),
    ({**CITIZEN, "kind": "regulator"}, ErrorCode.INPUT_MALFORMED),
    ({"kind": "citizen"}, ErrorCode.INPUT_MALFORMED),
    ({}, ErrorCode.INPUT_MALFORMED),
    ({**CENTRE, "siam_id": "c 1"}, ErrorCode.IDENTITY_INVALID),
    ({**CENTRE, "legal_id": "11234567891"}, ErrorCode.IDENTITY_INVALID),
    ({**CENTRE, "centre_kind": "shop"}, ErrorCode.INPUT_MALFORMED),
    ({**SYSTEM, "hosts": []}, ErrorCode.INPUT_MALFORMED),
    ({**SYSTEM, "hosts": ["a.example", "a.example"]}, ErrorCode.INPUT_MALFORMED),
    ({**SYSTEM, "hosts": ["*.example"]}, ErrorCode.INPUT_MALFORMED),
    ({**SYSTEM, "hosts": ["-a.example"]}, ErrorCode.INPUT_MALFORMED),
    ({**SYSTEM, "hosts": ["A.example"]}, ErrorCode.INPUT_MALFORMED),
    ({**SYSTEM, "hosts": ["256.0.0.1"]}, ErrorCode.INPUT_MALFORMED),
    ({**SYSTEM, "hosts": ["a" * 64 + ".example"]}, ErrorCode.INPUT_MALFORMED),
    ({**SYSTEM, "hosts": [f"h{n}.example" for n in range(9)]}, ErrorCode.INPUT_MALFORMED),
    ({**SYSTEM, "hosts": [1]}, ErrorCode.INPUT_MALFORMED),
]


@pytest.mark.parametrize(("members", "code"), BAD)
def test_a_bad_file_is_refused_by_its_code_and_repeats_no_identifier(members: dict[str, Any], code: ErrorCode) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_registration(file_json(members), pilot_identities())
    assert caught.value.code is code
    assert not any(
        str(members.get(name)) in caught.value.detail for name in ("national_code", "council_number") if name in members
    )


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", ErrorCode.JSON_MALFORMED),
        (b"[]", ErrorCode.JSON_MALFORMED),
        (b'{"kind":"citizen","kind":"citizen"}', ErrorCode.JSON_MALFORMED),
        (b"{" + b" " * 20_000 + b"}", ErrorCode.INPUT_TOO_LARGE),
        (file_json(CITIZEN)[:-1], ErrorCode.JSON_MALFORMED),
    ],
)
def test_bytes_that_are_no_file_are_refused(data: bytes, code: ErrorCode) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_registration(data, pilot_identities())
    assert caught.value.code is code


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from([CLINICIAN, CITIZEN, CENTRE, SYSTEM]), st.data())
def test_the_reader_never_raises_anything_but_ours(members: dict[str, Any], data: st.DataObject) -> None:
    changed = dict(members)
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.sampled_from([*members, "evidence", "key_storage", "x"]))] = data.draw(values)
    try:
        read = parse_registration(json.dumps(changed).encode(), pilot_identities())
    except ServiceError:
        return
    assert parse_registration(registration_json(read), pilot_identities()) == read


@given(st.binary(max_size=200))
def test_random_bytes_never_raise_anything_but_ours(data: bytes) -> None:
    with pytest.raises(ServiceError):
        parse_registration(data, pilot_identities())


@pytest.mark.parametrize("identifier", ["", "x" * 129, "a\nb"])
def test_an_officer_has_a_plain_id(identifier: str) -> None:
    with pytest.raises(InvalidInput):
        Officer(id=identifier)
