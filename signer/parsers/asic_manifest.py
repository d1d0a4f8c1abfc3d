"""ASiCManifest: which files one signature or time-stamp of a container vouches for (EN 319 162-1 annex A.4)."""

import binascii
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote
from xml.parsers import expat

from pki import oids
from pki.errors import ErrorCode, InvalidInput

MAX_OCTETS: Final = 1024 * 1024
MAX_REFERENCES: Final = 1000
MAX_DEPTH: Final = 32

# The number without its zero is how early implementations wrote it.
_ASIC: Final = tuple(
    f"http://uri.etsi.org/{part}/{version}#" for part in ("02918", "2918") for version in ("v1.2.1", "v1.1.1")
)
_DS: Final = "http://www.w3.org/2000/09/xmldsig#"
_DIGESTS: Final = {
    "http://www.w3.org/2000/09/xmldsig#sha1": oids.SHA1,
    "http://www.w3.org/2001/04/xmlenc#sha256": oids.SHA256,
    "http://www.w3.org/2000/09/xmldsig#sha256": oids.SHA256,  # which exists in no standard, but in files
    "http://www.w3.org/2001/04/xmldsig-more#sha224": oids.SHA224,
    "http://www.w3.org/2001/04/xmldsig-more#sha384": oids.SHA384,
    "http://www.w3.org/2001/04/xmlenc#sha512": oids.SHA512,
    "http://www.w3.org/2007/05/xmldsig-more#sha3-224": oids.SHA3_224,  # RFC 9231 §2.1.5
    "http://www.w3.org/2007/05/xmldsig-more#sha3-256": oids.SHA3_256,
    "http://www.w3.org/2007/05/xmldsig-more#sha3-384": oids.SHA3_384,
    "http://www.w3.org/2007/05/xmldsig-more#sha3-512": oids.SHA3_512,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A file that is vouched for: its name, and its digest under a hash given by OID."""

    name: str
    digest_oid: str
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """`signature` names the file that signs or stamps the manifest's own octets."""

    signature: str
    references: tuple[Reference, ...]


def _refuse(detail: str) -> InvalidInput:
    return InvalidInput(ErrorCode.INPUT_MALFORMED, f"manifest: {detail}")


@dataclass
class _Reading:
    """What the parser has met so far."""

    path: list[str] = field(default_factory=list)
    signatures: list[str] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)
    name: str | None = None
    method: str | None = None
    text: list[str] = field(default_factory=list)

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.path.append(tag)
        if len(self.path) > MAX_DEPTH:
            raise _refuse("nested too deep")
        if attributes.get("Critical") in ("true", "1"):
            raise _refuse("a critical extension")
        depth, local = len(self.path), _local(tag)
        if depth == 1 and local != "ASiCManifest":
            raise _refuse("not an ASiCManifest")
        if depth == 2 and local == "SigReference":
            self.signatures.append(_file(attributes))
        elif depth == 2 and local == "DataObjectReference":
            self.name, self.method, self.text = _file(attributes), None, []
        elif depth == 3 and tag == f"{_DS} DigestMethod":
            self.method = attributes.get("Algorithm")

    def data(self, text: str) -> None:
        if len(self.path) == 3 and self.path[-1] == f"{_DS} DigestValue":
            self.text.append(text)

    def end(self, _tag: str) -> None:
        tag = self.path.pop()
        if len(self.path) == 1 and _local(tag) == "DataObjectReference" and self.name is not None:
            if len(self.references) >= MAX_REFERENCES:
                raise _refuse("too many references")
            self.references.append(
                Reference(
                    name=self.name,
                    digest_oid=_DIGESTS.get(self.method or "", self.method or ""),
                    digest=_value(self.text),
                )
            )
            self.name = None


def _local(tag: str) -> str | None:
    space, _, name = tag.rpartition(" ")
    return name if space in _ASIC else None


def _file(attributes: dict[str, str]) -> str:
    found = unquote(attributes.get("URI", ""))
    if not found:
        raise _refuse("a reference without URI")
    return found


def _value(text: list[str]) -> bytes:
    try:
        return binascii.a2b_base64("".join("".join(text).split()), strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise _refuse("a digest that is not base64") from error


def _no_declarations(*_: object) -> None:
    raise _refuse("a document type declaration")


def read_manifest(data: bytes) -> Manifest:
    """Read a manifest; InvalidInput for anything that two readers could understand differently."""
    if len(data) > MAX_OCTETS:
        raise _refuse("too large")
    reading = _Reading()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartDoctypeDeclHandler = _no_declarations
    parser.StartElementHandler, parser.EndElementHandler = reading.start, reading.end
    parser.CharacterDataHandler = reading.data
    try:
        parser.Parse(data, True)  # noqa: FBT003 - that this is all of it
    except (expat.ExpatError, LookupError) as error:
        raise _refuse("not well-formed XML") from error
    if len(reading.signatures) != 1 or not reading.references:
        raise _refuse("names one signature, and files")
    if len({reference.name for reference in reading.references}) != len(reading.references):
        raise _refuse("names a file twice")
    return Manifest(signature=reading.signatures[0], references=tuple(reading.references))
