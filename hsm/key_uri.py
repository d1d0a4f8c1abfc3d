"""Names of keys: PKCS#11 URIs (RFC 7512), `transit:` and `file:` URIs (RFC 8089), with no secret inside.

A PIN never travels in a URI, nor does the place of a PIN or a module path: those are settings of
whoever owns the device. Slots are refused, because modules renumber them.
"""

import re
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from pki.errors import ErrorCode, InvalidInput

MAX_URI_OCTETS: Final = 4096
MAX_VALUE_OCTETS: Final = 255

# Characters that a value may hold unescaped (RFC 7512 §2.3: pk11-res-avail, unreserved, "&").
_PATH_CHARACTERS: Final = re.compile(r"(?:[A-Za-z0-9\-._~:\[\]@!$'()*+,=&]|%[0-9A-Fa-f]{2})*")
_TRANSIT_NAME: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.\-]*[A-Za-z0-9_])?")  # what Vault and OpenBao accept
_TRANSIT_VERSION: Final = re.compile(r"[1-9][0-9]{0,8}")
_FILE_CHARACTERS: Final = re.compile(r"(?:[A-Za-z0-9\-._~:@!$'()*+,;=&/]|%[0-9A-Fa-f]{2})+")


@unique
class ObjectType(StrEnum):
    """The kinds of object a URI may name (RFC 7512 §2.3, `pk11-type`)."""

    PUBLIC = "public"
    PRIVATE = "private"
    CERTIFICATE = "cert"
    SECRET_KEY = "secret-key"
    DATA = "data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pkcs11Uri:
    """An object in a token: what is None is not said. `id` is the CKA_ID as raw octets."""

    token: str | None = None
    object: str | None = None
    id: bytes | None = None
    type: ObjectType | None = None
    serial: str | None = None
    manufacturer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileUri:
    """A key in a file; tests and development only."""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitUri:
    """A key of a Vault or OpenBao Transit engine: `transit:NAME`, with `;version=N` for one version of it.

    Which server and mount is a setting of whoever owns the device. InvalidInput for a name or version that
    Transit does not have.
    """

    name: str
    version: int | None = None

    def __post_init__(self) -> None:
        if len(self.name) > MAX_VALUE_OCTETS or not _TRANSIT_NAME.fullmatch(self.name):
            raise _malformed("a Transit key name has letters, digits, '_', and inside also '-' and '.'")
        if self.version is not None and not _TRANSIT_VERSION.fullmatch(str(self.version)):
            raise _malformed("a key version is a number from 1")

    @property
    def reference(self) -> bytes:
        """Return what names the key in the device: `NAME:VERSION`, or `NAME` when no version is said."""
        return (self.name if self.version is None else f"{self.name}:{self.version}").encode()


KeyUri = Pkcs11Uri | TransitUri | FileUri


def _malformed(reason: str) -> InvalidInput:
    return InvalidInput(ErrorCode.KEY_URI_MALFORMED, reason)


def parse_key_uri(text: str) -> KeyUri:
    """Read a `pkcs11:`, `transit:` or `file:` URI; InvalidInput (`key-uri-malformed`) says what is refused."""
    if len(text) > MAX_URI_OCTETS:
        raise _malformed(f"longer than {MAX_URI_OCTETS} octets")
    scheme, colon, rest = text.partition(":")
    if not colon:
        raise _malformed("no scheme")
    match scheme.lower():
        case "pkcs11":
            return _parse_pkcs11(rest)
        case "transit":
            return _parse_transit(rest)
        case "file":
            return _parse_file(rest)
    raise _malformed("unknown scheme")


def parse_token(text: str) -> Pkcs11Uri:
    """Read the name of a token: its label (1 to 32 octets), or a `pkcs11:` URI that names no object in it."""
    if not text.startswith("pkcs11:"):
        if not 1 <= len(text.encode()) <= 32:  # CK_TOKEN_INFO.label
            raise _malformed("a token label has 1 to 32 octets")
        return Pkcs11Uri(token=text)
    uri = parse_key_uri(text)
    if not isinstance(uri, Pkcs11Uri) or (uri.object, uri.id, uri.type) != (None, None, None) or uri == Pkcs11Uri():
        raise _malformed("a token is named by label, serial and manufacturer")
    return uri


def format_key_uri(uri: KeyUri) -> str:
    """Write the one spelling that `parse_key_uri` reads back as the same URI."""
    if isinstance(uri, FileUri):
        prefix = "file://" if uri.path.startswith("/") else "file:"
        return prefix + quote_from_bytes(uri.path.encode(), safe="/")
    if isinstance(uri, TransitUri):
        return f"transit:{uri.name}" + ("" if uri.version is None else f";version={uri.version}")
    parts = []
    for name in ("token", "serial", "manufacturer", "object"):
        text = getattr(uri, name)
        if text is not None:
            parts.append(f"{name}=" + quote_from_bytes(text.encode(), safe=""))
    if uri.id is not None:
        parts.append("id=" + "".join(f"%{octet:02X}" for octet in uri.id))
    if uri.type is not None:
        parts.append(f"type={uri.type}")
    return "pkcs11:" + ";".join(parts)


def _parse_pkcs11(rest: str) -> Pkcs11Uri:
    path, question, query = rest.partition("?")
    if question:
        names = {part.partition("=")[0] for part in query.split("&")}
        if any(name.startswith("pin-") for name in names):
            raise _malformed("a key URI holds no PIN and no place of one")
        raise _malformed("no query attributes are accepted")
    values: dict[str, bytes] = {}
    for part in path.split(";") if path else ():
        name, equals, value = part.partition("=")
        if not equals or name not in _ATTRIBUTES:
            raise _malformed("only the attributes token, serial, manufacturer, object, id and type are accepted")
        if name in values:
            raise _malformed(f"{name} appears twice")
        if not _PATH_CHARACTERS.fullmatch(value):
            raise _malformed(f"{name} holds a character that must be percent-encoded")
        values[name] = unquote_to_bytes(value)
        if not 1 <= len(values[name]) <= MAX_VALUE_OCTETS:
            raise _malformed(f"{name} is empty or longer than {MAX_VALUE_OCTETS} octets")
    return Pkcs11Uri(
        token=_text(values, "token"),
        object=_text(values, "object"),
        id=values.get("id"),
        type=_object_type(values),
        serial=_text(values, "serial"),
        manufacturer=_text(values, "manufacturer"),
    )


_ATTRIBUTES: Final = frozenset({"token", "object", "id", "type", "serial", "manufacturer"})


def _decode(name: str, octets: bytes) -> str:
    try:
        text = octets.decode()
    except UnicodeDecodeError as error:
        raise _malformed(f"{name} is not UTF-8") from error
    if any(character < " " or character == "\x7f" for character in text):
        raise _malformed(f"{name} holds a control character")
    return text


def _text(values: dict[str, bytes], name: str) -> str | None:
    octets = values.get(name)
    return None if octets is None else _decode(name, octets)


def _object_type(values: dict[str, bytes]) -> ObjectType | None:
    text = _text(values, "type")
    if text is None:
        return None
    try:
        return ObjectType(text)
    except ValueError as error:
        raise _malformed("unknown object type") from error


def _parse_transit(rest: str) -> TransitUri:
    name, semicolon, attribute = rest.partition(";")
    attribute_name, equals, value = attribute.partition("=")
    if semicolon and (attribute_name, equals) != ("version", "="):
        raise _malformed("only the attribute version is accepted")
    return TransitUri(name=name, version=_version(value) if semicolon else None)


def transit_key(reference: bytes) -> TransitUri:
    """Read what names a key in the device, `NAME:VERSION` or `NAME`; InvalidInput for anything else."""
    name, colon, version = reference.decode("ascii", "replace").partition(":")
    return TransitUri(name=name, version=_version(version) if colon else None)


def _version(text: str) -> int:
    if not _TRANSIT_VERSION.fullmatch(text):
        raise _malformed("a key version is a number from 1")
    return int(text)


def _parse_file(rest: str) -> FileUri:
    """Read `file:/path`, `file:path`, `file:///path` or `file://localhost/path` (RFC 8089 §2, appendix E)."""
    if rest.startswith("//"):
        authority, slash, path = rest[2:].partition("/")
        if authority.lower() not in ("", "localhost") or not slash:
            raise _malformed("a file on another host")
        rest = "/" + path
    if not _FILE_CHARACTERS.fullmatch(rest):
        raise _malformed("the path is empty or holds a character that must be percent-encoded")
    return FileUri(path=_decode("path", unquote_to_bytes(rest)))
