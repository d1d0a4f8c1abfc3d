from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from ca.errors import CrlRegression
from ca.profiles import IssuerName
from ca.signing import sign_structures
from ca.status.crl import (
    CrlPlan,
    CrlSummary,
    build_tbs_crl,
    check_plan,
    encode_removal,
    read_crl,
    read_entry,
    read_tbs_crl,
    split_entries,
    with_entries,
    without_entries,
)
from ca.status.list_gate import check_follows
from ca.status.revocation import CertificateState, RevocationReason, Status, encode_crl_entry
from ca.tbs import Issuer
from pki.builder_keys import builder_key
from pki.certificates import Certificate
from pki.errors import InvalidInput, ServiceError
from tests.ca.conftest import Ceremony
from tests.ca.world import START

URL = "http://pki.example.org:8080/crl/persons/0.crl"


def status(reason: RevocationReason = RevocationReason.SUPERSEDED) -> Status:
    return Status(state=CertificateState.REVOKED, revoked_at=START, reason=reason)


def entries(*serials: int, reason: RevocationReason = RevocationReason.SUPERSEDED) -> tuple[bytes, ...]:
    return tuple(encode_crl_entry(serial, status(reason)) for serial in serials)


@pytest.fixture(scope="module")
def issuer(ceremony: Ceremony) -> Issuer:
    return Issuer.of(IssuerName.PERSONS, Certificate.parse(ceremony.hierarchy.certificate("persons")))


def plan(issuer: Issuer, *revoked: bytes, **changes: Any) -> CrlPlan:
    made = CrlPlan(
        issuer=issuer,
        url=URL,
        number=5,
        this_update=START,
        next_update=START + timedelta(days=1),
        entries=revoked,
    )
    return replace(made, **changes)


def summary(issuer: Issuer, *revoked: bytes, **changes: Any) -> CrlSummary:
    return read_tbs_crl(build_tbs_crl(plan(issuer, *revoked, **changes)))


def by_the_builder(issuer: Issuer, ceremony: Ceremony, serials: list[int]) -> bytes:
    """The same list from an independent encoder."""
    point = x509.IssuingDistributionPoint(
        full_name=[x509.UniformResourceIdentifier(URL)],
        relative_name=None,
        only_contains_user_certs=False,
        only_contains_ca_certs=False,
        only_some_reasons=None,
        indirect_crl=False,
        only_contains_attribute_certs=False,
    )
    revoked = [
        x509.RevokedCertificateBuilder()
        .serial_number(serial)
        .revocation_date(START)
        .add_extension(x509.CRLReason(x509.ReasonFlags.superseded), critical=False)
        .build()
        for serial in serials
    ]
    builder = (
        x509.CertificateRevocationListBuilder(revoked_certificates=revoked)
        .issuer_name(issuer.name)
        .last_update(START)
        .next_update(START + timedelta(days=1))
        .add_extension(x509.AuthorityKeyIdentifier(issuer.key_identifier, None, None), critical=False)
        .add_extension(x509.CRLNumber(5), critical=False)
        .add_extension(point, critical=True)
    )
    key = builder_key(ceremony.keys.signing_key("ca-persons"))
    return builder.sign(key, hashes.SHA256()).tbs_certlist_bytes


@given(serials=st.lists(st.integers(1, 2**159 - 1), unique=True, max_size=20))
def test_our_list_is_octet_for_octet_the_builders(issuer: Issuer, ceremony: Ceremony, serials: list[int]) -> None:
    assert build_tbs_crl(plan(issuer, *entries(*serials))) == by_the_builder(issuer, ceremony, serials)


def test_an_empty_list_has_no_entries_field(issuer: Issuer, ceremony: Ceremony) -> None:
    (crl_der,) = sign_structures(ceremony.keys, "ca-persons", issuer.public_key, [build_tbs_crl(plan(issuer))])
    crl = x509.load_der_x509_crl(crl_der)
    assert len(crl) == 0
    assert crl.is_signature_valid(issuer.public_key)
    assert read_crl(crl_der).entries == b""
    assert crl.public_bytes(Encoding.DER) == crl_der


def test_a_list_is_read_back_as_it_was_planned(issuer: Issuer) -> None:
    made = plan(issuer, *entries(1, 2))
    found = check_plan(build_tbs_crl(made), made)
    assert (found.number, found.url, found.issuer_der) == (5, URL, issuer.name_der)
    assert (found.this_update, found.next_update) == (made.this_update, made.next_update)
    assert found.entries == b"".join(made.entries)


@pytest.mark.parametrize(
    "changes",
    [
        {"number": 6},
        {"url": "http://pki.example.org:8080/crl/persons/1.crl"},
        {"entries": entries(1)},
        {"entries": entries(1, 2, 3)},
        {"entries": entries(1, 3)},
        {"entries": ()},
        {"base": 4},
        {"freshest_url": URL},
    ],
)
def test_a_list_that_is_not_the_planned_one_is_stopped(issuer: Issuer, changes: dict[str, Any]) -> None:
    made = plan(issuer, *entries(1, 2))
    with pytest.raises(CrlRegression, match="not what was planned"):
        check_plan(build_tbs_crl(replace(made, **changes)), made)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"next_update": START}, "nextUpdate"),
        ({"number": 0}, "out of range"),
        ({"number": 1 << 160}, "out of range"),
        ({"base": 5}, "follows its base"),
        ({"base": 0}, "follows its base"),
    ],
)
def test_a_plan_that_no_list_may_follow_is_stopped(issuer: Issuer, changes: dict[str, Any], words: str) -> None:
    made = plan(issuer, **changes)
    with pytest.raises(CrlRegression, match=words):
        check_plan(build_tbs_crl(made), made)


def test_bytes_that_are_no_list_are_stopped(issuer: Issuer) -> None:
    with pytest.raises(CrlRegression):
        check_plan(b"\x30\x00", plan(issuer))


@given(st.binary(max_size=80))
def test_reading_never_raises_anything_but_ours(data: bytes) -> None:
    for read in (read_crl, read_tbs_crl):
        with pytest.raises(ServiceError):
            read(data)


def test_a_complete_list_has_no_distribution_point(issuer: Issuer) -> None:
    assert summary(issuer, url=None).url is None
    with pytest.raises(CrlRegression, match="distribution point"):
        check_follows(summary(issuer), summary(issuer, url=None, number=6))


def test_a_list_without_a_number_is_not_one_of_ours(issuer: Issuer) -> None:
    crl = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.name)
        .last_update(START)
        .next_update(START + timedelta(days=1))
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    )
    with pytest.raises(InvalidInput):
        read_crl(crl.public_bytes(Encoding.DER))


def test_an_entry_tells_whether_it_is_a_hold() -> None:
    assert read_entry(*entries(7)) == read_entry(*entries(7, reason=RevocationReason.UNSPECIFIED))
    held = read_entry(*entries(7, reason=RevocationReason.CERTIFICATE_HOLD))
    assert (held.serial, held.on_hold) == (7, True)


def test_an_entry_that_is_malformed_or_there_twice_is_stopped() -> None:
    assert len(split_entries(b"".join(entries(1, 2)))) == 2
    for run in (
        b"".join(entries(1, 1)),
        entries(1)[0][:-1],
        b"".join(entries(1)) + b"\x30",
        b"\x31" + entries(1)[0][1:],
    ):
        with pytest.raises(CrlRegression):
            split_entries(run)


@given(serials=st.lists(st.integers(1, 2**159 - 1), unique=True, max_size=9))
def test_a_list_is_put_together_again_from_its_frame_and_its_entries(
    issuer: Issuer, ceremony: Ceremony, serials: list[int]
) -> None:
    whole = build_tbs_crl(plan(issuer, *entries(*serials)))
    (signed,) = sign_structures(ceremony.keys, "ca-persons", issuer.public_key, [whole])
    frame = without_entries(signed)
    assert read_crl(frame).entries == b""
    assert with_entries(frame, entries(*serials)) == signed


def test_a_delta_is_octet_for_octet_the_builders(issuer: Issuer, ceremony: Ceremony) -> None:
    removed = (
        x509.RevokedCertificateBuilder()
        .serial_number(7)
        .revocation_date(START)
        .add_extension(x509.CRLReason(x509.ReasonFlags.remove_from_crl), critical=False)
        .build()
    )
    builder = (
        x509.CertificateRevocationListBuilder(revoked_certificates=[removed])
        .issuer_name(issuer.name)
        .last_update(START)
        .next_update(START + timedelta(days=1))
        .add_extension(x509.AuthorityKeyIdentifier(issuer.key_identifier, None, None), critical=False)
        .add_extension(x509.CRLNumber(5), critical=False)
        .add_extension(x509.DeltaCRLIndicator(3), critical=True)
        .add_extension(
            x509.FreshestCRL([x509.DistributionPoint([x509.UniformResourceIdentifier(URL)], None, None, None)]),
            critical=False,
        )
    )
    theirs = builder.sign(builder_key(ceremony.keys.signing_key("ca-persons")), hashes.SHA256())
    made = plan(issuer, encode_removal(7, START), base=3, url=None, freshest_url=URL)
    assert build_tbs_crl(made) == theirs.tbs_certlist_bytes
    assert read_entry(made.entries[0]).is_removal


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"number": 5}, "does not follow"),
        ({"number": 4}, "does not follow"),
        ({"number": 6, "this_update": START - timedelta(seconds=1)}, "older"),
        ({"number": 6, "url": "http://pki.example.org:8080/crl/persons/1.crl"}, "distribution point"),
    ],
)
def test_a_list_that_goes_back_is_stopped(issuer: Issuer, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(CrlRegression, match=words):
        check_follows(summary(issuer), summary(issuer, **changes))


def test_a_list_of_another_issuer_is_stopped(issuer: Issuer, ceremony: Ceremony) -> None:
    other = Issuer.of(IssuerName.SYSTEMS, Certificate.parse(ceremony.hierarchy.certificate("systems")))
    with pytest.raises(CrlRegression, match="another issuer"):
        check_follows(summary(issuer), summary(other, number=6))
