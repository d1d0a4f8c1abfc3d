"""Public keys in the forms that cards give them (ISO/IEC 7816-8, ISO/IEC 7816-15)."""

from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cardreader import tlv
from cardreader.errors import CardProtocolError, CardUnsupported
from pki import der
from pki.errors import InvalidInput
from pki.keys import PublicKey, SignatureAlgorithm, algorithm_for
from pki.signatures import load_public_key

PUBLIC_KEY_TEMPLATE: Final = 0x7F49  # ISO/IEC 7816-8 §5.3
_CURVES: Final[dict[int, ec.EllipticCurve]] = {65: ec.SECP256R1(), 97: ec.SECP384R1()}
_RSA_BITS: Final = range(2048, 4097)


def to_file(key: PublicKey) -> bytes:
    """Encode for a public key file: RSAPublicKey, or for EC the SubjectPublicKeyInfo that OpenSC expects there."""
    if isinstance(key, rsa.RSAPublicKey):
        return key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def usable(key: object) -> PublicKey:
    """Return `key` if Mohr signs with keys of its type and size; CardUnsupported otherwise."""
    if isinstance(key, rsa.RSAPublicKey) and key.key_size in _RSA_BITS:
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, (ec.SECP256R1, ec.SECP384R1)):
        return key
    raise CardUnsupported("a key type that Mohr does not sign with")


def from_point(point: bytes) -> PublicKey:
    """Read an uncompressed point; its length tells P-256 from P-384."""
    curve = _CURVES.get(len(point))
    if curve is None:
        raise CardUnsupported("an elliptic curve that Mohr does not sign with")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
    except ValueError as error:
        raise CardProtocolError("the card's public key is not on its curve") from error


def from_modulus(modulus: int, exponent: int) -> PublicKey:
    """Build an RSA key of 2048 to 4096 bits."""
    if modulus.bit_length() not in _RSA_BITS or exponent.bit_length() > 32:
        raise CardUnsupported("an RSA key of a size that Mohr does not sign with")
    if not modulus & 1:
        raise CardProtocolError("the card's RSA key is malformed")
    try:
        return rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError as error:
        raise CardProtocolError("the card's RSA key is malformed") from error


def from_template(value: bytes) -> PublicKey:
    """Read the answer to GENERATE ASYMMETRIC KEY PAIR."""
    template = tlv.parse_tlv(value)
    if template.tag != PUBLIC_KEY_TEMPLATE:
        raise CardProtocolError("the card's answer is not a public key")
    objects = template.children()
    point, modulus, exponent = (tlv.find(objects, tag) for tag in (0x86, 0x81, 0x82))
    if point is not None:
        return from_point(point)
    if modulus is None or exponent is None:
        raise CardProtocolError("the card's public key is incomplete")
    return from_modulus(int.from_bytes(modulus, "big"), int.from_bytes(exponent, "big"))


def from_file(content: bytes) -> PublicKey:
    """Read a public key file: SubjectPublicKeyInfo, RSAPublicKey (RFC 8017 §A.1.1), or a point in an OCTET STRING."""
    objects = tlv.parse_tlvs(content, padded=True)
    if not objects:
        raise CardProtocolError("the public key file is empty")
    try:
        node = der.parse(objects[0].raw)
        if node.tag == der.OCTET_STRING:
            return from_point(node.content)
        fields = node.sequence()
        if len(fields) == 2 and fields[0].tag == der.INTEGER:
            return from_modulus(fields[0].integer(), fields[1].integer())
        return usable(load_public_key(node.raw))
    except InvalidInput as error:
        if isinstance(error, (CardProtocolError, CardUnsupported)):
            raise
        raise CardProtocolError(f"public key file: {error.detail}") from error


def card_algorithm(key: PublicKey) -> SignatureAlgorithm:
    """Return the algorithm a card key signs with: ES256, ES384 or RS256."""
    return algorithm_for(usable(key))
