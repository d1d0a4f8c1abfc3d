"""The emulated card's private-key operations: made and used here, never given out."""

from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import NoDigestInfo, Prehashed
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from cardreader import tlv
from cardreader.apdu import ResponseApdu, StatusWord
from cardreader.emulated.layout import ECDSA, ECDSA_ISO_APPLET, RSA_PKCS1

RSA_BITS: Final = 2048
_MAX_RSA_INPUT: Final = RSA_BITS // 8 - 11  # RFC 8017 §9.2
_HASH_BY_SIZE: Final[dict[int, hashes.HashAlgorithm]] = {
    20: hashes.SHA1(),  # noqa: S303  # the size of a digest the host made; OpenSC's driver offers ECDSA-SHA1
    28: hashes.SHA224(),
    32: hashes.SHA256(),
    48: hashes.SHA384(),
    64: hashes.SHA512(),
}


def generate(*, as_rsa: bool) -> tuple[bytes, bytes]:
    """Make a key; return (PKCS #8 DER, public key template 7F49 of ISO/IEC 7816-8 §5.3)."""
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    if as_rsa:
        key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
        numbers = key.public_key().public_numbers()
        template = tlv.encode(0x81, numbers.n.to_bytes(RSA_BITS // 8, "big")) + tlv.encode(0x82, b"\x01\x00\x01")
    else:
        key = ec.generate_private_key(ec.SECP256R1())
        point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        template = tlv.encode(0x86, point)
    pkcs8 = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return pkcs8, tlv.encode(0x7F49, template)


def sign(pkcs8: bytes, algorithm: int, data: bytes) -> ResponseApdu:
    """Answer PSO: COMPUTE DIGITAL SIGNATURE for what the host prepared: a DigestInfo (RSA) or a digest (ECDSA, DER).

    Reference 21 follows OpenSC's isoApplet driver: version 0.23 offers ECDSA-SHA1 alone and sends the message,
    later ones send a digest. What has a digest's size is taken for one, anything else is hashed with SHA-1.
    """
    key = load_der_private_key(pkcs8, None)
    if isinstance(key, rsa.RSAPrivateKey) and algorithm == RSA_PKCS1:
        if not 0 < len(data) <= _MAX_RSA_INPUT:
            return ResponseApdu(sw=StatusWord.WRONG_DATA)
        return ResponseApdu(data=key.sign(data, padding.PKCS1v15(), NoDigestInfo()))
    if isinstance(key, ec.EllipticCurvePrivateKey) and algorithm in (ECDSA, ECDSA_ISO_APPLET):
        prepared = _HASH_BY_SIZE.get(len(data))
        if prepared is not None:
            return ResponseApdu(data=key.sign(data, ec.ECDSA(Prehashed(prepared))))
        if algorithm == ECDSA_ISO_APPLET:
            return ResponseApdu(data=key.sign(data, ec.ECDSA(hashes.SHA1())))  # noqa: S303  # the driver's only offer
        return ResponseApdu(sw=StatusWord.WRONG_DATA)
    return ResponseApdu(sw=StatusWord.CONDITIONS)
