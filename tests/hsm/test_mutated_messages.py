"""Any change of a good message is refused or still obeys every rule, as an independent reader sees it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha1

import pytest
from asn1crypto import tsp
from cryptography import x509
from cryptography.x509 import ocsp
from hypothesis import given
from hypothesis import strategies as st

from hsm.custodian.purposes import check_message
from hsm.errors import PurposeRefused
from hsm.provider import KeyPurpose
from pki import der, oids
from pki.errors import InvalidInput
from pki.keys import SignatureAlgorithm, algorithm_identifier
from tests.hsm import good_messages as good
from tests.hsm import messages as m
from tests.hsm.good_messages import LIMITS, NOW, rule

Mutation = Callable[[bytes], bytes]
ALGORITHM = algorithm_identifier(SignatureAlgorithm.ES256)
SIGNATURE = der.bit_string(bytes(70))
PIECES = (
    b"\x00",
    b"\x30\x80",
    b"\x01\x01\xff",
    b"\x02\x01\x00",
    der.null(),
    m.basic_constraints(ca=True),
    m.key_usage(0x06),
    der.oid(oids.BASIC_CONSTRAINTS),
    der.boolean(True),
    der.time(NOW + timedelta(days=4000)),
    der.time(NOW - timedelta(days=4000)),
    der.generalized_time(NOW + timedelta(days=4000)),
    der.context(0, der.generalized_time(NOW + timedelta(days=4000))),
    m.name("Other CA"),
)


def _overwrite(at: int, octets: bytes, data: bytes) -> bytes:
    at %= len(data) + 1
    return data[:at] + octets + data[at + len(octets) :]


def _insert(at: int, octets: bytes, data: bytes) -> bytes:
    at %= len(data) + 1
    return data[:at] + octets + data[at:]


def _delete(at: int, count: int, data: bytes) -> bytes:
    at %= len(data) + 1
    return data[:at] + data[at + count :]


def _replace_field(path: tuple[int, ...], octets: bytes, data: bytes) -> bytes:
    """Put other octets in the place of a value somewhere in the tree, with all lengths around it made right."""
    try:
        node = der.parse(data)
        if not path or not node.tag & 0x20:
            return octets
        children = [child.raw for child in node.children()]
        index = path[0] % (len(children) + 1)
        if index == len(children):
            children.append(octets)
        else:
            children[index] = _replace_field(path[1:], octets, children[index])
        return der.tlv(node.tag, *children)
    except InvalidInput:
        return data


places = st.integers(0, 5000)
pieces = st.binary(min_size=1, max_size=4) | st.sampled_from(PIECES)
mutations: st.SearchStrategy[Mutation] = st.one_of(
    st.builds(partial, st.just(_overwrite), places, pieces),
    st.builds(partial, st.just(_insert), places, pieces),
    st.builds(partial, st.just(_delete), places, st.integers(1, 8)),
    st.builds(
        partial, st.just(_replace_field), st.lists(st.integers(0, 8), max_size=6).map(tuple), pieces | st.just(b"")
    ),
)


def accepted(message: bytes, changes: list[Mutation], purpose: KeyPurpose) -> bytes | None:
    """Return what came of `message` if a key still signs it; anything but a refusal is an error."""
    for change in changes:
        message = change(message)
    try:
        check_message(rule(purpose), message, limits=LIMITS, now=NOW)
    except PurposeRefused:
        return None
    return message


def signed(tbs: bytes) -> bytes:
    return der.sequence(tbs, ALGORITHM, SIGNATURE)


def _is_near(instant: datetime) -> bool:
    return NOW - timedelta(seconds=900) <= instant <= NOW + timedelta(seconds=60)


def check_certificate(tbs: bytes) -> bool:
    """Say whether an independent reader understands a certificate; it must then find every rule kept."""
    try:
        read = x509.load_der_x509_certificate(signed(tbs))
        extensions = read.extensions
    except (ValueError, x509.DuplicateExtension):
        return False
    assert read.issuer.public_bytes() == m.ISSUER
    assert read.version is x509.Version.v3
    assert read.serial_number.bit_length() > 48
    assert _is_near(read.not_valid_before_utc)
    assert timedelta() < read.not_valid_after_utc - read.not_valid_before_utc <= timedelta(days=365)
    names = {extension.oid.dotted_string for extension in extensions}
    assert LIMITS.allowed_extensions is not None
    assert LIMITS.required_extensions <= names <= LIMITS.allowed_extensions
    for extension in extensions:
        match extension.value:
            case x509.BasicConstraints(ca=ca):
                assert not ca
            case x509.KeyUsage(key_cert_sign=certifies, crl_sign=lists):
                assert not certifies
                assert not lists
            case x509.ExtendedKeyUsage() as usages:
                assert {usage.dotted_string for usage in usages} <= {oids.EKU_CLIENT_AUTH}
    return True


def check_list(tbs: bytes) -> bool:
    """Say the same of a list."""
    try:
        read = x509.load_der_x509_crl(signed(tbs))
        number = read.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except (ValueError, x509.ExtensionNotFound):
        return False
    assert read.issuer.public_bytes() == m.ISSUER
    assert number >= 0
    assert read.next_update_utc is not None
    assert _is_near(read.last_update_utc)
    assert timedelta() < read.next_update_utc - read.last_update_utc <= timedelta(days=2)
    assert all(revoked.serial_number > 0 for revoked in read)
    return True


def check_response(tbs: bytes) -> bool:
    """Say the same of an OCSP response."""
    basic = der.sequence(tbs, ALGORITHM, SIGNATURE)
    body = der.sequence(der.oid("1.3.6.1.5.5.7.48.1.1"), der.octet_string(basic))
    try:
        read = ocsp.load_der_ocsp_response(der.sequence(der.integer(0, der.ENUMERATED), der.context(0, body)))
        responses = list(read.responses)
    except ValueError:
        return False
    assert _is_near(read.produced_at_utc)
    for response in responses:
        assert response.issuer_name_hash == sha1(m.ISSUER, usedforsecurity=False).digest()
        assert _is_near(response.this_update_utc)
        assert response.next_update_utc is not None
        assert timedelta() < response.next_update_utc - response.this_update_utc <= timedelta(days=1)
    return True


ENTRIES = der.sequence(
    der.sequence(m.SERIAL, der.time(NOW)),
    der.sequence(
        der.integer(5),
        der.time(NOW),
        der.sequence(m.extension(oids.CRL_REASON, der.integer(4, der.ENUMERATED))),
    ),
)
SAMPLES = {
    "certificate": (good.certificate(), KeyPurpose.CERTIFICATE_AUTHORITY, check_certificate),
    "list": (good.revocation_list(entries=ENTRIES), KeyPurpose.CERTIFICATE_AUTHORITY, check_list),
    "response": (good.response(), KeyPurpose.OCSP, check_response),
}


@pytest.mark.parametrize("sample", SAMPLES)
def test_the_good_message_is_signed_and_understood(sample: str) -> None:
    message, purpose, check = SAMPLES[sample]
    assert accepted(message, [], purpose) == message
    assert check(message)


@pytest.mark.parametrize("sample", SAMPLES)
@given(changes=st.lists(mutations, min_size=1, max_size=3))
def test_a_property_of_all_changes_is_that_no_rule_is_broken(sample: str, changes: list[Mutation]) -> None:
    message, purpose, check = SAMPLES[sample]
    changed = accepted(message, changes, purpose)
    if changed is not None:
        check(changed)


@pytest.mark.parametrize("sample", SAMPLES)
def test_no_change_of_one_octet_breaks_a_rule(sample: str) -> None:
    message, purpose, check = SAMPLES[sample]
    understood = 0
    for at in range(len(message)):
        for octet in {message[at] ^ (1 << bit) for bit in range(8)} | {0, 0x30, 0xFF}:
            changed = accepted(message, [partial(_overwrite, at, bytes((octet,)))], purpose)
            understood += changed is not None and check(changed)
    assert understood > 100  # other serial numbers, subjects, keys


@given(changes=st.lists(mutations, min_size=1, max_size=3))
def test_a_property_of_changed_time_stamps_is_that_no_rule_is_broken(changes: list[Mutation]) -> None:
    content = good.stamp(der.integer(5))
    for change in changes:
        content = change(content)
    key = rule(KeyPurpose.TIMESTAMP)
    try:
        check_message(key, m.stamp_attributes(content), limits=LIMITS, now=NOW, content=content)
    except PurposeRefused:
        return
    try:
        read = tsp.TSTInfo.load(content, strict=True).native
    except (ValueError, TypeError):
        return
    assert read["policy"] == m.TIMESTAMP_POLICY
    assert abs(read["gen_time"].astimezone(UTC) - NOW) <= timedelta(seconds=1)
    assert read["message_imprint"]["hash_algorithm"]["algorithm"] in ("sha256", "sha384", "sha512")
    assert read["serial_number"] > 0


@given(changes=st.lists(mutations, min_size=1, max_size=3))
def test_changed_attributes_are_refused_or_digest_their_content(changes: list[Mutation]) -> None:
    content = good.stamp()
    attributes = m.stamp_attributes(content)
    for change in changes:
        attributes = change(attributes)
    try:
        read = check_message(rule(KeyPurpose.TIMESTAMP), attributes, limits=LIMITS, now=NOW, content=content)
    except PurposeRefused:
        return
    assert read.instant == NOW


texts = st.sampled_from([good.token(), m.jws({"alg": "ES256", "typ": "jose+json"}), m.NOTE])


@given(message=texts, changes=st.lists(mutations, min_size=1, max_size=3), purpose=st.sampled_from(KeyPurpose))
def test_changed_texts_are_never_more_than_refused(
    message: bytes, changes: list[Mutation], purpose: KeyPurpose
) -> None:
    accepted(message, changes, purpose)
