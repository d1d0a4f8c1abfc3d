"""The files of a cryptographic information application, written (ISO/IEC 7816-15:2016 §8).

The card engine writes key and certificate entries with it when a card is personalised; the emulated card
makes its first files. An independent reader (OpenSC) is the judge of both.
"""

from collections.abc import Iterable
from typing import Final

from cardreader import tlv
from cardreader.cards.directory import (
    PIN_INITIALIZED,
    PIN_LOCAL,
    PIN_NEEDS_PADDING,
    PIN_UNBLOCKING,
    USAGE_NON_REPUDIATION,
    USAGE_SIGN,
    USAGE_VERIFY,
    AlgorithmInfo,
    Application,
    FilePath,
    PinEntry,
    PrivateKeyEntry,
    TokenInfo,
)
from cardreader.cards.objects import KeyUsage
from pki import der

PRIVATE_OBJECT: Final = 0
MODIFIABLE_OBJECT: Final = 1
_PRIVATE_KEY_ACCESS: Final = frozenset((0, 2, 3, 4))  # sensitive, always sensitive, never extractable, local
_ASCII_NUMERIC: Final = 1
_LOGIN_REQUIRED: Final = 1  # card flag, §8.10
_P256: Final = "1.2.840.10045.3.1.7"
_RSA_BITS: Final = 2048
_EC_BITS: Final = 256  # OpenSC writes and wants the field size where the standard has an optional KeyInfo reference


def bits(chosen: Iterable[int]) -> bytes:
    """Encode a named BIT STRING without trailing zero bits (X.690 §11.2.2)."""
    present = set(chosen)
    if not present:
        return der.tlv(der.BIT_STRING, b"\0")
    size = max(present) + 1
    octets = bytearray((size + 7) // 8)
    for bit in present:
        octets[bit // 8] |= 0x80 >> bit % 8
    return der.tlv(der.BIT_STRING, bytes((-size % 8,)), bytes(octets))


def path(where: FilePath) -> bytes:
    """Encode a Path; the index is written with the length only, as the standard wants."""
    part = b"" if where.length is None else der.integer(where.index) + der.integer(where.length, 0x80)
    return der.sequence(der.octet_string(where.path), part)


def _common(label: str, flags: Iterable[int], auth_id: bytes | None = None, user_consent: int = 0) -> bytes:
    return der.sequence(
        der.utf8(label),
        bits(flags),
        b"" if auth_id is None else der.octet_string(auth_id),
        der.integer(user_consent) if user_consent else b"",
    )


def ef_dir(application: Application) -> bytes:
    """Encode an application template."""
    return tlv.encode(
        0x61,
        tlv.encode(0x4F, application.aid),
        tlv.encode(0x50, application.label.encode()),
        tlv.encode(0x51, application.path),
    )


def odf(files: dict[int, FilePath]) -> bytes:
    """Encode the object directory, one file for each kind of object."""
    return b"".join(der.context(kind, path(where)) for kind, where in files.items())


def token_info(info: TokenInfo) -> bytes:
    """Encode TokenInfo; the parameters of elliptic-curve algorithms are P-256."""
    algorithms = b"".join(_algorithm(number, each) for number, each in enumerate(info.algorithms, start=1))
    return der.sequence(
        der.integer(0),
        der.octet_string(info.serial),
        der.utf8(info.manufacturer),
        der.context(0, info.label.encode(), constructed=False),
        bits((_LOGIN_REQUIRED,)),
        der.context(2, algorithms) if algorithms else b"",
    )


def _algorithm(number: int, info: AlgorithmInfo) -> bytes:
    elliptic = 0x1040 <= info.mechanism <= 0x104F
    return der.sequence(
        der.integer(number),
        der.integer(info.mechanism),
        der.oid(_P256) if elliptic else der.null(),
        bits(info.operations),
        b"" if info.reference is None else der.integer(info.reference),
    )


def pin(entry: PinEntry) -> bytes:
    """Encode a password object of ASCII digits."""
    flags = {PIN_LOCAL, PIN_INITIALIZED}
    if entry.format.stored_length:
        flags.add(PIN_NEEDS_PADDING)
    if entry.unblocking:
        flags.add(PIN_UNBLOCKING)
    attributes = der.sequence(
        bits(flags),
        der.integer(_ASCII_NUMERIC, der.ENUMERATED),
        der.integer(entry.format.min_length),
        der.integer(entry.format.stored_length or entry.format.max_length),
        der.integer(entry.format.max_length),
        der.integer(entry.reference, 0x80),
        der.octet_string(bytes((entry.format.pad,))),
    )
    return der.sequence(
        _common(entry.label, (PRIVATE_OBJECT, MODIFIABLE_OBJECT), entry.puk_auth_id),
        der.sequence(der.octet_string(entry.auth_id)),
        der.context(1, attributes),
    )


def usage_bits(usage: KeyUsage) -> frozenset[int]:
    """Return the key usage bits of a private key."""
    return frozenset((USAGE_SIGN, USAGE_NON_REPUDIATION)) if usage is KeyUsage.SIGN else frozenset((USAGE_SIGN,))


def private_key(entry: PrivateKeyEntry) -> bytes:
    """Encode a PrKDF entry, for an RSA-2048 or a P-256 key; `entry.raw` is not looked at."""
    attributes = der.sequence(path(entry.path), der.integer(_RSA_BITS if entry.is_rsa else _EC_BITS))
    return der.tlv(
        der.SEQUENCE if entry.is_rsa else 0xA0,
        _common(entry.label, (PRIVATE_OBJECT, MODIFIABLE_OBJECT), entry.auth_id, entry.user_consent),
        der.sequence(
            der.octet_string(entry.key_id),
            bits(entry.usage),
            bits(_PRIVATE_KEY_ACCESS),
            der.integer(entry.key_reference),
        ),
        der.context(1, attributes),
    )


def public_key(key: PrivateKeyEntry, where: FilePath) -> bytes:
    """Encode the PuKDF entry that belongs to a private key; the file is `public_keys.to_file`'s."""
    attributes = der.sequence(path(where), der.integer(_RSA_BITS) if key.is_rsa else b"")
    return der.tlv(
        der.SEQUENCE if key.is_rsa else 0xA0,
        _common(key.label, (MODIFIABLE_OBJECT,)),
        der.sequence(der.octet_string(key.key_id), bits((USAGE_VERIFY,))),
        der.context(1, attributes),
    )


def certificate(key_id: bytes, label: str, where: FilePath) -> bytes:
    """Encode a CDF entry for an X.509 certificate of the key with the same identifier."""
    return der.sequence(
        _common(label, (MODIFIABLE_OBJECT,)),
        der.sequence(der.octet_string(key_id)),
        der.context(1, der.sequence(path(where))),
    )


def unused_space(spaces: Iterable[FilePath]) -> bytes:
    """Encode EF.UnusedSpace."""
    return b"".join(der.sequence(path(space)) for space in spaces)
