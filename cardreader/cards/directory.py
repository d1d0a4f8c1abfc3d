"""The files of a cryptographic information application, read (ISO/IEC 7816-15:2016 §8, PKCS #15 v1.1 §6).

Every reader takes the content of one elementary file and stops at its padding. Fields that Mohr does
not use are skipped, wherever the standard allows them. Anything malformed is a CardProtocolError.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from cardreader import tlv
from cardreader.errors import CardProtocolError
from cardreader.pin import MAX_DIGITS, MIN_DIGITS, PinFormat
from pki import ber, der
from pki.der import Node
from pki.errors import InvalidInput

# Key usage bits of CommonKeyAttributes (ISO/IEC 7816-15 §8.3.2)
USAGE_SIGN: Final = 2
USAGE_VERIFY: Final = 6
USAGE_NON_REPUDIATION: Final = 9

# PIN flags (§8.9.2)
PIN_LOCAL: Final = 1
PIN_INITIALIZED: Final = 4
PIN_NEEDS_PADDING: Final = 5
PIN_UNBLOCKING: Final = 6

_ASCII_PIN_TYPES: Final = (1, 2)  # ascii-numeric, utf8: the same octets for digits


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePath:
    """Where a value lies: a path of file identifiers, and the part of the file if not all of it."""

    path: bytes
    index: int = 0
    length: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """An entry of EF.DIR (ISO/IEC 7816-4 §8.2.1.1)."""

    aid: bytes
    label: str
    path: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AlgorithmInfo:
    """An algorithm the card offers: its PKCS #11 mechanism, operations by bit, and reference in MSE SET."""

    mechanism: int
    operations: frozenset[int]
    reference: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenInfo:
    """Who the card is (EF.CIAInfo, also called TokenInfo)."""

    serial: bytes
    manufacturer: str
    label: str
    algorithms: tuple[AlgorithmInfo, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PinEntry:
    """A password object of the AODF."""

    auth_id: bytes
    label: str
    reference: int
    format: PinFormat
    unblocking: bool
    puk_auth_id: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateKeyEntry:
    """A private key object of the PrKDF; `raw` is the entry as it stands in the file."""

    key_id: bytes
    label: str
    auth_id: bytes | None
    user_consent: int
    usage: frozenset[int]
    key_reference: int
    is_rsa: bool
    path: FilePath
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueEntry:
    """A public key or certificate object; `path` is None where the value is not in a file of its own (not read)."""

    key_id: bytes
    label: str
    path: FilePath | None
    raw: bytes


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except InvalidInput as error:
        if isinstance(error, CardProtocolError):
            raise
        raise CardProtocolError(f"{what}: {error.detail}") from error


class _Fields:
    """The children of a SEQUENCE, taken from left to right with optional ones skipped."""

    def __init__(self, node: Node) -> None:
        self._nodes = list(node.children())

    def take(self, *tags: int) -> Node:
        """Take the next field, which must have one of `tags`."""
        found = self.maybe(*tags)
        if found is None:
            raise CardProtocolError(f"field {tags[0]:02X} is missing")
        return found

    def maybe(self, *tags: int) -> Node | None:
        """Take the next field if it has one of `tags`."""
        return self._nodes.pop(0) if self._nodes and self._nodes[0].tag in tags else None

    def later(self, tag: int) -> Node | None:
        """Take the first remaining field with `tag`, skipping those before it."""
        for position, node in enumerate(self._nodes):
            if node.tag == tag:
                del self._nodes[: position + 1]
                return node
        return None


def _entries(content: bytes) -> Iterator[Node]:
    """Yield the entries of a directory file as DER, BER lengths tolerated."""
    for entry in tlv.parse_tlvs(content, padded=True):
        yield der.parse(ber.normalise(entry.raw)[0])


def _text(node: Node | None) -> str:
    return "" if node is None else node.content.decode("utf-8", "replace").rstrip("\x00 ")


def _octet(node: Node, tag: int = der.INTEGER) -> int:
    value = node.integer(tag) & 0xFF if -128 <= node.integer(tag) < 0 else node.integer(tag)
    if not 0 <= value <= 0xFF:
        raise CardProtocolError("a reference is one octet")
    return value


def _path(node: Node) -> FilePath:
    fields = _Fields(node.expect(der.SEQUENCE))
    path = fields.take(der.OCTET_STRING).content
    if not path or len(path) % 2 or len(path) > 16:
        raise CardProtocolError("path of bad length")
    index, length = fields.maybe(der.INTEGER), fields.maybe(0x80)
    start = 0 if index is None else index.integer()
    size = None if length is None else length.integer(0x80)
    if not 0 <= start <= tlv.MAX_OCTETS or (size is not None and not 0 < size <= tlv.MAX_OCTETS):
        raise CardProtocolError("path index or length out of range")
    return FilePath(path=path, index=start, length=size)


def parse_ef_dir(content: bytes) -> tuple[Application, ...]:
    """Read EF.DIR: the applications the card announces."""
    found = []
    for entry in tlv.parse_tlvs(content, padded=True):
        if entry.tag != 0x61:
            continue
        parts = entry.children()
        label = (tlv.find(parts, 0x50) or b"").decode("utf-8", "replace")
        found.append(Application(aid=tlv.find(parts, 0x4F) or b"", label=label, path=tlv.find(parts, 0x51) or b""))
    return tuple(found)


@_translated("ODF")
def parse_odf(content: bytes) -> dict[int, tuple[FilePath, ...]]:
    """Read the object directory: for each kind of object (0 private keys … 8 authentication), its files."""
    found: dict[int, tuple[FilePath, ...]] = {}
    for entry in _entries(content):
        if entry.tag & 0xE0 != 0xA0:
            raise CardProtocolError("ODF entry without a context tag")
        kind = entry.tag & 0x1F
        found[kind] = (*found.get(kind, ()), _path(entry.inner()))
    return found


@_translated("TokenInfo")
def parse_token_info(content: bytes) -> TokenInfo:
    """Read EF.CIAInfo (TokenInfo)."""
    entries = list(_entries(content))
    if len(entries) != 1:
        raise CardProtocolError("TokenInfo is not one object")
    fields = _Fields(entries[0].expect(der.SEQUENCE))
    fields.take(der.INTEGER)
    serial = fields.take(der.OCTET_STRING).content
    manufacturer = _text(fields.maybe(der.UTF8_STRING))
    label = _text(fields.maybe(0x80))
    algorithms = fields.later(0xA2)
    return TokenInfo(
        serial=serial,
        manufacturer=manufacturer,
        label=label,
        algorithms=() if algorithms is None else tuple(_algorithm(each) for each in algorithms.children()),
    )


def _algorithm(node: Node) -> AlgorithmInfo:
    fields = _Fields(node.expect(der.SEQUENCE))
    fields.take(der.INTEGER)
    mechanism = fields.take(der.INTEGER).integer()
    fields.take(der.NULL, der.OID, der.SEQUENCE, der.OCTET_STRING)
    operations = fields.take(der.BIT_STRING).bit_set()
    fields.maybe(der.OID)
    reference = fields.maybe(der.INTEGER)
    return AlgorithmInfo(
        mechanism=mechanism, operations=operations, reference=None if reference is None else _octet(reference)
    )


@_translated("AODF")
def parse_aodf(content: bytes) -> tuple[PinEntry, ...]:
    """Read the AODF's password objects; other authentication objects and PINs not made of ASCII digits are skipped."""
    found = []
    for entry in _entries(content):
        if entry.tag != der.SEQUENCE:
            continue
        pin = _pin_entry(entry)
        if pin is not None:
            found.append(pin)
    return tuple(found)


def _pin_entry(entry: Node) -> PinEntry | None:
    outer = _Fields(entry)
    common, own = _Fields(outer.take(der.SEQUENCE)), _Fields(outer.take(der.SEQUENCE))
    attributes = _Fields(_typed(outer))
    label = _text(common.maybe(der.UTF8_STRING))
    common.maybe(der.BIT_STRING)
    puk = common.maybe(der.OCTET_STRING)
    flags = attributes.take(der.BIT_STRING).bit_set()
    if attributes.take(der.ENUMERATED).integer(der.ENUMERATED) not in _ASCII_PIN_TYPES:
        return None
    minimum, stored = attributes.take(der.INTEGER).integer(), attributes.take(der.INTEGER).integer()
    maximum = attributes.maybe(der.INTEGER)
    reference = attributes.maybe(0x80)
    pad = attributes.maybe(der.OCTET_STRING)
    longest = min(stored if maximum is None else maximum.integer(), MAX_DIGITS)
    if not 0 <= minimum <= longest <= stored <= 64:
        raise CardProtocolError("PIN lengths contradict each other")
    return PinEntry(
        auth_id=own.take(der.OCTET_STRING).content,
        label=label,
        reference=0 if reference is None else _octet(reference, 0x80),
        format=PinFormat(
            min_length=max(minimum, MIN_DIGITS),
            max_length=longest,
            stored_length=stored if PIN_NEEDS_PADDING in flags else 0,
            pad=pad.content[0] if pad is not None and pad.content else 0x00,
        ),
        unblocking=PIN_UNBLOCKING in flags,
        puk_auth_id=None if puk is None else puk.content,
    )


def _typed(outer: _Fields) -> Node:
    """Return the type attributes, `[1]` around one SEQUENCE, behind an optional `[0]`."""
    attributes = outer.later(0xA1)
    if attributes is None:
        raise CardProtocolError("type attributes are missing")
    return attributes.inner().expect(der.SEQUENCE)


@_translated("PrKDF")
def parse_prkdf(content: bytes) -> tuple[PrivateKeyEntry, ...]:
    """Read the PrKDF's RSA and EC keys; other kinds are skipped. Two keys of one identifier are refused."""
    found = []
    for entry in _entries(content):
        if entry.tag not in (der.SEQUENCE, 0xA0):
            continue
        found.append(_private_key(entry))
    if len({entry.key_id for entry in found}) != len(found):
        raise CardProtocolError("two private keys with one identifier")
    return tuple(found)


def _private_key(entry: Node) -> PrivateKeyEntry:
    outer = _Fields(entry)
    common, own = _Fields(outer.take(der.SEQUENCE)), _Fields(outer.take(der.SEQUENCE))
    attributes = _Fields(_typed(outer))
    label = _text(common.maybe(der.UTF8_STRING))
    common.maybe(der.BIT_STRING)
    auth_id, consent = common.maybe(der.OCTET_STRING), common.maybe(der.INTEGER)
    key_id, usage = own.take(der.OCTET_STRING).content, own.take(der.BIT_STRING).bit_set()
    own.maybe(der.BOOLEAN)
    own.maybe(der.BIT_STRING)
    reference = own.maybe(der.INTEGER)
    return PrivateKeyEntry(
        key_id=key_id,
        label=label,
        auth_id=None if auth_id is None else auth_id.content,
        user_consent=0 if consent is None else consent.integer(),
        usage=usage,
        key_reference=0 if reference is None else _octet(reference),
        is_rsa=entry.tag == der.SEQUENCE,
        path=_path(attributes.take(der.SEQUENCE)),
        raw=entry.raw,
    )


@_translated("PuKDF")
def parse_pukdf(content: bytes) -> tuple[ValueEntry, ...]:
    """Read the PuKDF's RSA and EC keys."""
    return tuple(_value_entry(entry) for entry in _entries(content) if entry.tag in (der.SEQUENCE, 0xA0))


@_translated("CDF")
def parse_cdf(content: bytes) -> tuple[ValueEntry, ...]:
    """Read the CDF's X.509 certificates."""
    return tuple(_value_entry(entry) for entry in _entries(content) if entry.tag == der.SEQUENCE)


def _value_entry(entry: Node) -> ValueEntry:
    outer = _Fields(entry)
    common, own = _Fields(outer.take(der.SEQUENCE)), _Fields(outer.take(der.SEQUENCE))
    value = _Fields(_typed(outer)).take(der.SEQUENCE, 0xA0, 0xA1)
    return ValueEntry(
        key_id=own.take(der.OCTET_STRING).content,
        label=_text(common.maybe(der.UTF8_STRING)),
        path=_path(value) if value.tag == der.SEQUENCE else None,
        raw=entry.raw,
    )


@_translated("UnusedSpace")
def parse_unused_space(content: bytes) -> tuple[FilePath, ...]:
    """Read EF.UnusedSpace: parts of files that may be written (PKCS #15 v1.1 §6.8)."""
    found = []
    for entry in _entries(content):
        space = _path(_Fields(entry.expect(der.SEQUENCE)).take(der.SEQUENCE))
        if space.length is None:
            raise CardProtocolError("unused space without a length")
        found.append(space)
    return tuple(found)
