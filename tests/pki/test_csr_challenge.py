"""The challenge password of a request (RFC 2985 §5.4.1): one value, a short text, or nothing at all."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AttributeOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from hsm.soft import UnsafeSoftKey
from pki import der
from pki.csr import build_csr, challenge_password, parse_csr
from pki.errors import InvalidInput
from pki.keys import SignatureAlgorithm

KEY = UnsafeSoftKey.generate(SignatureAlgorithm.ES256)
CHALLENGE = "1.2.840.113549.1.9.7"
WHOLE = der.parse(build_csr(KEY, "a"))
VERSION, SUBJECT, SPKI, _ = (node.raw for node in WHOLE.sequence()[0].sequence())


def with_attributes(*attributes: bytes) -> bytes:
    """A request of good form with these attributes; its signature is another's."""
    information = der.sequence(VERSION, SUBJECT, SPKI, der.context(0, *attributes))
    return der.sequence(information, *(node.raw for node in WHOLE.sequence()[1:]))


def attribute(*values: bytes, kind: str = CHALLENGE) -> bytes:
    return der.sequence(der.oid(kind), der.set_of(values))


def test_there_and_back() -> None:
    for challenge in ("abc_-09" * 4, "ژ" * 255):
        assert challenge_password(parse_csr(build_csr(KEY, "a", challenge=challenge)).der) == challenge
    assert challenge_password(parse_csr(build_csr(KEY, "a")).der) is None


def test_others_attributes_are_not_it() -> None:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a")])
    builder = x509.CertificateSigningRequestBuilder(name).add_extension(x509.OCSPNoCheck(), critical=False)
    key = ec.generate_private_key(ec.SECP256R1())
    plain = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
    assert challenge_password(plain) is None
    both = builder.add_attribute(AttributeOID.CHALLENGE_PASSWORD, b"here").sign(key, hashes.SHA256())
    assert challenge_password(both.public_bytes(Encoding.DER)) == "here"


@pytest.mark.parametrize(
    "attributes",
    [
        (attribute(der.utf8("a")), attribute(der.utf8("a"))),
        (attribute(),),
        (attribute(der.utf8("a"), der.utf8("b")),),
        (attribute(der.utf8("")),),
        (attribute(der.utf8("x" * 256)),),
        (attribute(der.integer(7)),),
        (attribute(b"\x14\x01a"),),
        (attribute(b"\x13\x01\xe9"),),
        (attribute(b"\x0c\x01\xe9"),),
        (der.sequence(der.oid(CHALLENGE)),),
        (der.sequence(der.oid(CHALLENGE), der.utf8("a")),),
        (der.oid(CHALLENGE),),
    ],
)
def test_whatever_else_is_refused(attributes: tuple[bytes, ...]) -> None:
    with pytest.raises(InvalidInput) as error:
        challenge_password(with_attributes(*attributes))
    assert error.value.reason == "csr.challenge-malformed"


@given(octets=st.binary(max_size=40), place=st.sampled_from([attribute, lambda value: value]))
def test_any_octets_are_a_text_or_a_refusal(octets: bytes, place: Callable[[bytes], bytes]) -> None:
    try:
        found = challenge_password(with_attributes(place(octets)))
    except InvalidInput as error:
        assert error.reason == "csr.challenge-malformed"
    else:
        assert found is None or 1 <= len(found) <= 255
