"""Whom a policy admits: by keys, clusters, anchors with limits, and what a profession may sign; paths that cross."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from pki.certificates import Certificate
from pki.errors import InvalidInput, ServiceError
from pki.jose import compact_json
from signer.formats.jades import sign_jades
from signer.validation.anchors import HEALTH, AnchorLimits, BundleStamp, Purpose
from signer.validation.fhir_kinds import MAX_DOCUMENT_OCTETS, resource_kinds
from signer.validation.policy import DEFAULT, HEALTH_CLUSTER
from signer.validation.reasons import Reason
from signer.validation.verdict import Care, FileVerdict
from signer.validation.verify import verify_bytes
from tests.signer.validation.expect import PASSED, UNDECIDED, expect, only, reasons
from tests.support.pki import ARC, NOW, Holder, Issuer, make_root
from tests.support.zoo import SIGNED_AT, Zoo, admission, make_clinician

PRESCRIPTION = b'{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Medication\\u0052equest"}}]}'


def sign(holder: Holder, content: bytes = b"{}") -> bytes:
    return sign_jades(content, holder.key, holder.chain, signed_at=SIGNED_AT)


def cross(by: Issuer, of: Issuer, **changes: Any) -> Certificate:
    """Certify a CA's name and key by another."""
    times = {"not_before": NOW - timedelta(days=9), "not_after": NOW + timedelta(days=900)} | changes
    extensions = [(x509.BasicConstraints(ca=True, path_length=None), True)]
    issued = by._issue(of.x509.subject, of.key.public_key(), extensions, serial=None, **times)
    return Certificate.parse(issued.public_bytes(Encoding.DER))


# Clusters


def test_a_cluster_that_nobody_configured_admits_nobody(zoo: Zoo, jades: bytes) -> None:
    for clusters in ({}, {"elsewhere": frozenset((zoo.intermediate.certificate.spki_sha256.hex(),))}):
        verdict = verify_bytes(jades, zoo.context(policy=HEALTH_CLUSTER, clusters=clusters))
        expect(verdict, UNDECIDED, "CHAIN_CONSTRAINTS_FAILURE")
        assert (Reason.ANCHOR_NOT_ADMITTED in reasons(verdict), only(verdict).care) == (True, Care.INVALID)


def test_a_cluster_names_keys_however_often_they_are_certified(zoo: Zoo, jades: bytes) -> None:
    again = cross(zoo.root, zoo.intermediate)
    for digest in (zoo.intermediate.certificate.spki_sha256, again.sha256):
        context = zoo.context(
            policy=HEALTH_CLUSTER,
            clusters={HEALTH: frozenset((digest.hex(),))},
            intermediates=(zoo.intermediate.certificate, again),
        )
        verdict = verify_bytes(jades, context)
        expect(verdict, PASSED)
        assert (digest == again.sha256) <= (again in only(verdict).chain)


def test_a_name_alone_admits_nobody(zoo: Zoo) -> None:
    impostor = zoo.root.issue_ca("Test intermediate")
    status = zoo.status(zoo.intermediate.crl(), impostor.crl())
    verdict = verify_bytes(sign(make_clinician(impostor)), zoo.context(policy=HEALTH_CLUSTER, status_sources=(status,)))
    expect(verdict, UNDECIDED, "CHAIN_CONSTRAINTS_FAILURE")


# Paths that cross


@pytest.fixture
def crossed(zoo: Zoo) -> tuple[Issuer, Certificate]:
    """Another root that certified the intermediate, too."""
    other = make_root("Another root")
    return other, cross(other, zoo.intermediate)


@pytest.mark.parametrize(
    ("reason", "passes"),
    [
        (x509.ReasonFlags.superseded, True),
        (x509.ReasonFlags.cessation_of_operation, True),
        (x509.ReasonFlags.key_compromise, False),
        (None, False),
    ],
)
def test_one_of_two_certificates_of_an_issuer_may_be_revoked_but_not_its_key(
    zoo: Zoo, crossed: tuple[Issuer, Certificate], jades: bytes, reason: x509.ReasonFlags | None, passes: bool
) -> None:
    other, again = crossed
    revoked = zoo.root.crl({zoo.intermediate.certificate.serial: NOW - timedelta(days=1)}, reason=reason)
    status = replace(zoo.status(), crls=(revoked, other.crl(), zoo.intermediate.crl()))
    for anchors in ((zoo.root, other), (other, zoo.root)):
        context = zoo.context(
            anchors=tuple(anchor.certificate for anchor in anchors),
            intermediates=(zoo.intermediate.certificate, again),
            status_sources=(status,),
        )
        verdict = verify_bytes(jades, context)
        if passes:
            expect(verdict, PASSED)
            assert only(verdict).chain[-1] == other.certificate
        else:
            expect(verdict, UNDECIDED, "REVOKED_CA_NO_POE")


def test_a_stranger_cannot_revoke_an_issuer_by_certifying_its_key(zoo: Zoo, jades: bytes) -> None:
    stranger = make_root("Stranger")
    again = cross(stranger, zoo.intermediate)
    status = replace(zoo.status(), crls=(*zoo.status().crls, stranger.crl({again.serial: NOW - timedelta(days=1)})))
    pool = (zoo.intermediate.certificate, again, stranger.certificate)
    expect(verify_bytes(jades, zoo.context(intermediates=pool, status_sources=(status,))), PASSED)


def test_the_path_whose_status_is_known_is_taken(zoo: Zoo, crossed: tuple[Issuer, Certificate], jades: bytes) -> None:
    other, again = crossed
    context = zoo.context(
        anchors=(other.certificate, zoo.root.certificate), intermediates=(again, zoo.intermediate.certificate)
    )
    verdict = verify_bytes(jades, context)
    expect(verdict, PASSED)
    assert only(verdict).chain[-1] == zoo.root.certificate


# Anchors with limits


def test_an_anchor_is_trusted_for_the_policies_that_are_named(zoo: Zoo) -> None:
    silver, bronze = (f"{ARC.arc}.1.{number}" for number in (2, 3))
    asserting = zoo.root.issue_ca("Levels", extra=((policies(silver, bronze), False),))
    status = zoo.status(asserting.crl())
    signed = sign(make_clinician(asserting, policies=(silver,)))
    for wanted, expected in (({silver}, PASSED), ({bronze, silver}, PASSED), ({bronze}, UNDECIDED), (set(), PASSED)):
        limits = {zoo.root.certificate: AnchorLimits(policies=frozenset(wanted))}
        verdict = verify_bytes(signed, zoo.context(limits=limits, status_sources=(status,)))
        expect(verdict, expected, None if expected is PASSED else "CERTIFICATE_CHAIN_GENERAL_FAILURE")


def policies(*names: str) -> x509.CertificatePolicies:
    return x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier(name), None) for name in names])


def test_an_anchor_for_time_stamps_vouches_for_no_signer(zoo: Zoo, jades: bytes) -> None:
    only_stamps = {zoo.root.certificate: AnchorLimits(purposes=frozenset((Purpose.TIMESTAMP,)))}
    expect(verify_bytes(jades, zoo.context(limits=only_stamps)), UNDECIDED, "NO_CERTIFICATE_CHAIN_FOUND")


def test_a_higher_anchor_may_be_trusted_further(zoo: Zoo, jades: bytes) -> None:
    both = (zoo.root.certificate, zoo.intermediate.certificate)
    limits = {zoo.intermediate.certificate: AnchorLimits(policies=frozenset(("1.3.6.1.4.1.32473.9.9",)))}
    verdict = verify_bytes(jades, zoo.context(anchors=both, limits=limits))
    expect(verdict, PASSED)
    assert only(verdict).chain[-1] == zoo.root.certificate


# The age of a bundle


def stamped(zoo: Zoo, *, days: int, **changes: Any) -> Any:
    issued = NOW - timedelta(days=days)
    stamp = BundleStamp(
        name="pilot", sequence=3, issued=issued, next_update=issued + timedelta(days=30), sha256="ab" * 32
    )
    limits = {zoo.root.certificate: AnchorLimits()}
    return zoo.context(bundle=stamp, limits=limits, **changes)


def told(verdict: FileVerdict) -> list[Any]:
    return [f.indication for f in only(verdict).findings if f.reason is Reason.TRUST_OUTDATED]


def test_an_outdated_bundle_is_told_and_the_policy_says_what_follows(zoo: Zoo, jades: bytes) -> None:
    assert told(verify_bytes(jades, stamped(zoo, days=29))) == []
    lenient = verify_bytes(jades, stamped(zoo, days=31))
    expect(lenient, PASSED)
    assert told(lenient) == [None]
    strict = verify_bytes(jades, stamped(zoo, days=31, policy=HEALTH_CLUSTER))
    expect(strict, UNDECIDED, "TRY_LATER")
    assert only(strict).care is Care.DEFERRED
    aged = replace(DEFAULT, max_trust_age=timedelta(days=7))
    expect(verify_bytes(jades, stamped(zoo, days=8, policy=aged)), UNDECIDED, "TRY_LATER")
    expect(verify_bytes(jades, stamped(zoo, days=6, policy=aged)), PASSED)


def test_an_anchor_of_ones_own_does_not_age_with_the_bundle(zoo: Zoo, jades: bytes) -> None:
    own = replace(stamped(zoo, days=99, policy=HEALTH_CLUSTER), limits={})
    expect(verify_bytes(jades, own), PASSED)


# What a profession may sign


@pytest.mark.parametrize(
    ("profession", "number", "passes"), [("physician", "123456", True), ("nurse", "N-1234", False)]
)
def test_a_profession_signs_what_is_its_to_sign(zoo: Zoo, profession: str, number: str, passes: bool) -> None:
    holder = make_clinician(zoo.intermediate, extra=((admission(profession, number), False),))
    context = zoo.context(policy=HEALTH_CLUSTER)
    verdict = verify_bytes(sign(holder, PRESCRIPTION), context)
    expect(verdict, *((PASSED,) if passes else (UNDECIDED, "SIG_CONSTRAINTS_FAILURE")))
    expect(verify_bytes(sign(holder, b'{"resourceType":"Observation"}'), context), PASSED)


def test_a_document_whose_kind_cannot_be_told_is_nobodys_to_sign(zoo: Zoo) -> None:
    twice = b'{"resourceType":"Observation","resourceType":"MedicationRequest"}'
    verdict = verify_bytes(sign(zoo.clinician, twice), zoo.context(policy=HEALTH_CLUSTER))
    expect(verdict, UNDECIDED, "SIG_CONSTRAINTS_FAILURE")
    expect(verify_bytes(sign(zoo.clinician, twice), zoo.context()), PASSED)


KINDS: Mapping[bytes, set[str]] = {
    b"": set(),
    b"%PDF-1.7": set(),
    b"[]": set(),
    b"{}": set(),
    b'{"resourceType":1}': set(),
    PRESCRIPTION: {"Bundle", "MedicationRequest"},
    b" " * 5000 + PRESCRIPTION: {"Bundle", "MedicationRequest"},
    b'{"resourceType":"A","contained":[{"resourceType":"B"},1],"entry":[2,{}]}': {"A", "B"},
    b'<Bundle xmlns="http://hl7.org/fhir"><entry><resource><f:MedicationRequest>': {"Bundle", "MedicationRequest"},
    b"<html><Thing/></html>": set(),
}


@pytest.mark.parametrize("document", KINDS)
def test_kinds_are_read_from_json_and_xml(document: bytes) -> None:
    assert resource_kinds((document,)) == KINDS[document]
    assert resource_kinds((document[:3], memoryview(document)[3:])) == KINDS[document]


def test_what_is_too_large_to_be_read_is_refused_unless_it_is_no_text() -> None:
    assert resource_kinds((b"%PDF", bytes(MAX_DOCUMENT_OCTETS))) == set()
    for start in (b"{", b"<", b" " * 5000):
        with pytest.raises(InvalidInput):
            resource_kinds((start, bytes(MAX_DOCUMENT_OCTETS)))


RESOURCES = st.recursive(
    st.none() | st.text(max_size=9),
    lambda parts: (
        st.lists(parts, max_size=3)
        | st.dictionaries(st.sampled_from(("resourceType", "entry", "contained", "resource")), parts, max_size=4)
    ),
)


@given(st.binary(max_size=80) | RESOURCES.map(compact_json))
def test_reading_kinds_raises_only_service_errors(document: bytes) -> None:
    try:
        resource_kinds((document,))
    except ServiceError:
        return
