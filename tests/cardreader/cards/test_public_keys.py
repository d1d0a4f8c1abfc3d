import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from cardreader import tlv
from cardreader.cards.public_keys import from_file, from_template, to_file, usable
from cardreader.errors import CardProtocolError, CardUnsupported
from pki import der
from pki.errors import ServiceError
from pki.keys import PublicKey
from tests.support.pki import rsa_key

CURVES: list[ec.EllipticCurve] = [ec.SECP256R1(), ec.SECP384R1()]


def spki(key: PublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def point(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


@pytest.mark.parametrize("curve", CURVES)
def test_elliptic_keys_are_read_in_every_form_cards_use(curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve).public_key()
    assert from_file(spki(key) + bytes(30)) == from_file(to_file(key)) == key
    assert from_file(der.octet_string(point(key)) + bytes(30)) == key
    assert from_template(tlv.encode(0x7F49, tlv.encode(0x86, point(key)))) == key


def test_rsa_keys_are_read_in_every_form_cards_use() -> None:
    key: PublicKey = rsa_key().public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    numbers = key.public_numbers()
    assert from_file(spki(key)) == from_file(to_file(key)) == key
    assert from_file(der.sequence(der.integer(numbers.n), der.integer(numbers.e))) == key
    modulus = tlv.encode(0x81, numbers.n.to_bytes(key.key_size // 8, "big"))
    assert from_template(tlv.encode(0x7F49, modulus, tlv.encode(0x82, b"\x01\x00\x01"))) == key


def test_keys_that_mohr_does_not_sign_with_are_unsupported() -> None:
    for key in (
        ec.generate_private_key(ec.SECP521R1()).public_key(),
        ed25519.Ed25519PrivateKey.generate().public_key(),
    ):
        with pytest.raises(CardUnsupported):
            usable(key)
    short = der.sequence(der.integer((1 << 1023) + 1), der.integer(65537))
    with pytest.raises(CardUnsupported):
        from_file(short)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        bytes(64),
        der.octet_string(b"\x04" + b"\x01" * 64),
        der.sequence(der.integer(-5), der.integer(3)),
        der.sequence(der.integer(1 << 2047), der.integer(65537)),
        der.sequence(),
    ],
)
def test_a_malformed_public_key_is_a_card_error(content: bytes) -> None:
    with pytest.raises((CardProtocolError, CardUnsupported)):
        from_file(content)


@given(st.binary(max_size=120))
def test_no_public_key_raises_anything_but_a_service_error(content: bytes) -> None:
    for read in (from_file, from_template):
        for value in (content, tlv.encode(0x7F49, content)):
            try:
                read(value)
            except ServiceError:
                continue


@pytest.mark.parametrize("content", ["7f4900", "7f4803860104", "7f4906810101820101", "7f49038101ff"])
def test_an_answer_that_is_no_public_key_is_refused(content: str) -> None:
    with pytest.raises((CardProtocolError, CardUnsupported)):
        from_template(bytes.fromhex(content))
