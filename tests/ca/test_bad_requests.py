"""What is no request, or for a key that nobody should have, is refused before anything is written."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from ca.issuing.orders import IssueOrder
from ca.tables import certificates
from hsm.provider import spki_of
from hsm.soft import UnsafeSoftKey
from pki import der
from pki.csr import build_csr
from pki.errors import ErrorCode, InvalidInput
from pki.keys import SignatureAlgorithm
from tests.ca.world import (
    World,
    new_csr,
)


def rows(world: World) -> int:
    with world.database.read() as connection:
        return len(connection.execute(select(certificates.c.id)).all())


def signed_by(key: object, algorithm: hashes.HashAlgorithm | None) -> bytes:
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return request.sign(key, algorithm).public_bytes(Encoding.DER)  # type: ignore[arg-type]  # any kind of key


def with_broken_proof() -> bytes:
    csr = new_csr()
    return csr[:-1] + bytes((csr[-1] ^ 1,))


def with_another_key() -> bytes:
    """A request in which the public key was exchanged after it was signed."""
    mine, theirs = UnsafeSoftKey.generate(SignatureAlgorithm.ES256), UnsafeSoftKey.generate(SignatureAlgorithm.ES256)
    return build_csr(mine, "x").replace(spki_of(mine.public_key()), spki_of(theirs.public_key()))


def with_unused_bits() -> bytes:
    """A request whose proof holds for a reader that looks past the unused bits of its signature."""
    while (csr := bytearray(new_csr()))[-1] & 1:
        continue
    whole = der.parse(bytes(csr))
    _information, _algorithm, signature = whole.sequence()
    csr[len(csr) - len(signature.content)] = 1
    return bytes(csr)


BAD_REQUESTS: dict[str, tuple[Callable[[], bytes], ErrorCode]] = {
    "empty": (lambda: b"", ErrorCode.CSR_MALFORMED),
    "random": (lambda: os.urandom(300), ErrorCode.CSR_MALFORMED),
    "truncated": (lambda: new_csr()[:-10], ErrorCode.CSR_MALFORMED),
    "trailing octets": (lambda: new_csr() + b"\0", ErrorCode.CSR_MALFORMED),
    "too large": (lambda: b"\x30" * 40_000, ErrorCode.CSR_MALFORMED),
    "a certificate": (lambda: b"-----BEGIN CERTIFICATE-----\n", ErrorCode.CSR_MALFORMED),
    "version 5": (lambda: new_csr().replace(b"\x02\x01\x00", b"\x02\x01\x05", 1), ErrorCode.CSR_MALFORMED),
    "unused bits": (with_unused_bits, ErrorCode.CSR_MALFORMED),
    "broken proof": (with_broken_proof, ErrorCode.CSR_PROOF_INVALID),
    "another key": (with_another_key, ErrorCode.CSR_PROOF_INVALID),
    "P-521": (lambda: signed_by(ec.generate_private_key(ec.SECP521R1()), hashes.SHA256()), ErrorCode.KEY_REFUSED),
    "secp256k1": (lambda: signed_by(ec.generate_private_key(ec.SECP256K1()), hashes.SHA256()), ErrorCode.KEY_REFUSED),
    "Ed25519": (lambda: signed_by(ed25519.Ed25519PrivateKey.generate(), None), ErrorCode.KEY_REFUSED),
    "RSA-1024": (lambda: signed_by(rsa.generate_private_key(65537, 1024), hashes.SHA256()), ErrorCode.KEY_REFUSED),  # noqa: S505 - that is the point
    "exponent 3": (lambda: signed_by(rsa.generate_private_key(3, 2048), hashes.SHA256()), ErrorCode.KEY_REFUSED),
    "DSA": (lambda: signed_by(dsa.generate_private_key(1024), hashes.SHA256()), ErrorCode.KEY_REFUSED),  # noqa: S505 - that is the point
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_a_bad_request_is_refused_before_anything_is_written(name: str, world: World) -> None:
    make, code = BAD_REQUESTS[name]
    file, before = world.approved(), rows(world)
    with pytest.raises(InvalidInput) as caught:
        world.authority.issue("clin-sign", file.id, make(), "clerk")
    assert caught.value.code is code
    assert rows(world) == before


GOOD_REQUEST = new_csr()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(place=st.integers(0, 10_000), change=st.integers(1, 255))
def test_a_request_with_any_octet_changed_is_refused(place: int, change: int, world: World) -> None:
    csr = bytearray(GOOD_REQUEST)
    csr[place % len(csr)] ^= change
    request = IssueOrder(actor="clerk", profile="clin-sign", file_id=_file_id(world), csr=bytes(csr))
    (outcome,) = tuple(world.authority.line.issue_many([request]))
    assert isinstance(outcome, InvalidInput)


def _file_id(world: World) -> str:
    found = world.authority.files(limit=1)
    return found[0].id if found else world.approved().id
