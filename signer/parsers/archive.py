"""Archive time-stamps of CAdES (ETSI EN 319 122-1 §5.5, TS 101 733 §6.4): what they stamp, and what that covers.

Version 3 stamps content, SignerInfo and an index of hashes; certificates, lists and unsigned attributes are covered by
standing in the index. An index that names what is not there makes the time-stamp worthless. Version 2 stamps the
SignedData as it was, without the archive time-stamps that came later. The first version is told, and not evaluated.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from pki import der, oids
from pki.der import Node
from pki.errors import ServiceError
from signer.parsers.cms_values import octets_in
from signer.parsers.model import UNREADABLE, Note, Octets, ParsedTimestamp, TimestampKind, TimestampToken
from signer.parsers.signed_data import (
    MAX_ATTRIBUTES,
    SignedData,
    SignerInfo,
    choice_value,
    read_signed_data,
    refuse,
    single,
)
from signer.parsers.tst import read_timestamp, timestamp_id
from signer.validation.crypto import HASH_NAMES
from signer.validation.reasons import Reason

MAX_INDEX: Final = 1024

_FIRST: Final = "1.2.840.113549.1.9.16.2.27"
_SECOND: Final = "1.2.840.113549.1.9.16.2.48"
ARCHIVE_TIMESTAMPS: Final = (oids.ATTR_ARCHIVE_TIMESTAMP_V3, _SECOND, _FIRST)

_INDEX: Final = "0.4.0.1733.2.5"  # ats-hash-index: hashes of whole attributes
_INDEX_V3: Final = "0.4.0.19122.1.5"  # ats-hash-index-v3: hashes of type and value
_UNSIGNED: Final = 0xA1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signed:
    """The signature that is stamped: its parts, and the time-stamps that it holds, by their ids."""

    data: SignedData
    signer: SignerInfo
    content: Octets
    owner: str
    stamps: dict[str, ParsedTimestamp]
    _digests: dict[str, bytes] = field(default_factory=dict)

    def digest(self, hash_name: str) -> bytes:
        """Hash the content, once for all time-stamps of a hash."""
        if hash_name not in self._digests:
            self._digests[hash_name] = _running(hash_name, self.content).digest()
        return self._digests[hash_name]

    @property
    def attributes(self) -> tuple[Node, ...]:
        """The unsigned attributes as they stand."""
        node = self.signer.unsigned_attributes
        return () if node is None else node.children(MAX_ATTRIBUTES)

    @property
    def fields(self) -> tuple[bytes, ...]:
        """The SignerInfo up to its value."""
        return tuple(field.raw for field in self.signer.node.sequence() if field.tag != _UNSIGNED)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Index:
    """The hash index of a token: its octets, its hash and all hashes it names."""

    raw: bytes
    hash_oid: str
    names: frozenset[bytes]


@dataclass(slots=True, kw_only=True)
class _Covered:
    """What a time-stamp covers beside the signature: time-stamps, and the DER of validation data."""

    stamps: set[str]
    values: set[bytes]
    hashes: tuple[str, ...] = ()

    def add(self, signed: _Signed, kind: str, value: Node) -> None:
        """Add what one value of an unsigned attribute is or holds."""
        self.values |= octets_in(kind, value)
        if kind == oids.ATTR_SIGNATURE_TIMESTAMP or kind in ARCHIVE_TIMESTAMPS:
            name = timestamp_id(value.raw)
            self.stamps.add(name)
            stamp = signed.stamps.get(name)
            if stamp is not None and stamp.token is not None:
                self.values |= stamp.token.signature.values


def read_archive_timestamps(
    archived: Sequence[tuple[str, Node]],
    earlier: Sequence[ParsedTimestamp],
    data: SignedData,
    signer: SignerInfo,
    content: Octets | None,
    owner: str,
) -> list[ParsedTimestamp]:
    """Read the archive time-stamps on the signature named `owner`, by attribute type; `earlier` are its other ones.

    A defect in what one covers is kept as such.
    """
    bare = [read_timestamp(value.raw, TimestampKind.ARCHIVE, None, frozenset((owner,))) for _, value in archived]
    if content is None:
        return bare
    stamps = {stamp.id: stamp for stamp in (*earlier, *bare)}
    signed = _Signed(data=data, signer=signer, content=content, owner=owner, stamps=stamps)
    return [_complete(kind, value, stamp, signed) for (kind, value), stamp in zip(archived, bare, strict=True)]


def _complete(kind: str, value: Node, stamp: ParsedTimestamp, signed: _Signed) -> ParsedTimestamp:
    if stamp.token is None or kind == _FIRST:
        return stamp
    try:
        if kind == _SECOND:
            imprinted, covered = _second(stamp.token, signed)
        else:
            imprinted, covered = _third(value.raw, stamp.token, signed)
    except UNREADABLE as error:
        detail = error.detail if isinstance(error, ServiceError) else "hash index"
        return replace(stamp, defects=(*stamp.defects, Note(reason=Reason.TIMESTAMP_MALFORMED, detail=detail)))
    covers = frozenset((signed.owner, *(covered.stamps - {stamp.id})))
    return replace(stamp, imprinted=imprinted, covers=covers, values=frozenset(covered.values), hashes=covered.hashes)


def _running(hash_name: str, octets: Octets) -> "hashlib._Hash":
    running = hashlib.new(hash_name, usedforsecurity=False)
    for piece in octets:
        running.update(piece)
    return running


def _hash_name(hash_oid: str) -> str:
    if hash_oid not in HASH_NAMES:
        raise refuse("imprint with an unknown hash")
    return HASH_NAMES[hash_oid]


# -- version 3 --------------------------------------------------------------------------------------


def _third(token_der: bytes, token: TimestampToken, signed: _Signed) -> tuple[Octets, _Covered]:
    """Return the octets to hash: content type, digest of the content, SignerInfo up to its value, index."""
    digest = signed.digest(_hash_name(token.imprint_oid))
    index = _read_index(token_der)
    imprinted = (der.oid(signed.data.content_type), digest, *signed.fields, index.raw)
    return imprinted, _indexed(index, signed)


def _read_index(token_der: bytes) -> _Index:
    unsigned = read_signed_data(token_der).signers[0].unsigned
    node = single(unsigned, _INDEX_V3) or single(unsigned, _INDEX)
    if node is None:
        raise refuse("archive time-stamp without a hash index")
    parts = list(node.expect(der.SEQUENCE).children(4))
    hash_oid = parts.pop(0).sequence()[0].oid() if len(parts) == 4 else oids.SHA256
    if len(parts) != 3 or hash_oid not in HASH_NAMES:
        raise refuse("hash index of unknown form")
    names = frozenset(entry.octets() for part in parts for entry in part.expect(der.SEQUENCE).children(MAX_INDEX))
    return _Index(raw=node.raw, hash_oid=hash_oid, names=names)


def _indexed(index: _Index, signed: _Signed) -> _Covered:
    """Return what the index covers; ServiceError when it names what is not there."""
    held: set[bytes] = set()
    covered = _Covered(stamps=set(), values=set(), hashes=(index.hash_oid,))
    for choice in signed.data.choices:
        digest = _hash(index, choice.raw)
        held.add(digest)
        if digest in index.names:
            covered.values.add(choice_value(choice))
    for attribute in signed.attributes:
        for digest, kind, value in _spellings(index, attribute):
            held.add(digest)
            if digest in index.names:
                covered.add(signed, kind, value)
    if not index.names <= held:
        raise refuse("the hash index names what is not there")
    return covered


def _spellings(index: _Index, attribute: Node) -> Iterator[tuple[bytes, str, Node]]:
    kind, values = attribute.expect(der.SEQUENCE).children(2)
    whole = _hash(index, attribute.raw)
    for value in values.children(MAX_ATTRIBUTES):
        yield whole, kind.oid(), value
        yield _hash(index, kind.raw + value.raw), kind.oid(), value


def _hash(index: _Index, octets: bytes) -> bytes:
    return hashlib.new(HASH_NAMES[index.hash_oid], octets, usedforsecurity=False).digest()


# -- version 2 --------------------------------------------------------------------------------------


def _second(token: TimestampToken, signed: _Signed) -> tuple[Octets, _Covered]:
    """Return the octets to hash: what stands before the signers, and the SignerInfo without later archive time-stamps.

    Implementations write the unsigned attributes with or without the set around them (TS 101 733 annex K, note 3).
    """
    data = signed.data
    covered = _Covered(stamps=set(), values={choice_value(choice) for choice in data.choices})
    kept = []
    for attribute in signed.attributes:
        kind, values = attribute.expect(der.SEQUENCE).children(2)
        members = values.children(MAX_ATTRIBUTES)
        if kind.oid() in ARCHIVE_TIMESTAMPS and not all(_is_before(m, token.generated_at, signed) for m in members):
            continue
        kept.append(attribute.raw)
        for member in members:
            covered.add(signed, kind.oid(), member)
    encapsulated, *sets = (node.raw for node in data.stamped)
    content = signed.content if data.content is None else ()
    before: Octets = (encapsulated, *content, *sets, *signed.fields)
    whole = _running(_hash_name(token.imprint_oid), before)
    whole.update(der.tlv(_UNSIGNED, *kept))
    unsigned = (der.tlv(_UNSIGNED, *kept),) if whole.digest() == token.imprint else tuple(kept)
    return (*before, *unsigned), covered


def _is_before(value: Node, at: datetime, signed: _Signed) -> bool:
    stamp = signed.stamps.get(timestamp_id(value.raw))
    return stamp is not None and stamp.token is not None and stamp.token.generated_at < at
