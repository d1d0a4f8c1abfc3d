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


def is_rsa(pkcs8: bytes) -> bool:
    """Whether the stored key is RSA."""
    return isinstance(load_der_private_key(pkcs8, None), rsa.RSAPrivateKey)


def sign(pkcs8: bytes, data: bytes) -> bytes | None:
    """Sign what the host prepared: a DigestInfo (RSA) or a digest (ECDSA, DER answer); None if it cannot be one."""
    key = load_der_private_key(pkcs8, None)
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), NoDigestInfo()) if 0 < len(data) <= _MAX_RSA_INPUT else None
    algorithm = _HASH_BY_SIZE.get(len(data))
    if algorithm is None or not isinstance(key, ec.EllipticCurvePrivateKey):
        return None
    return key.sign(data, ec.ECDSA(Prehashed(algorithm)))
