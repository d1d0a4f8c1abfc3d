"""Archive time-stamps of CAdES, version 3 (ETSI EN 319 122-1 §5.5.3): what they stamp, and what that covers.

The token stamps content, SignerInfo and an index of hashes; certificates, lists and unsigned attributes are
covered by standing in the index. An index that names what is not there makes the time-stamp worthless.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from pki import der, oids
from pki.der import Node
from pki.errors import ServiceError
from signer.parsers.model import UNREADABLE, Note, Octets, ParsedTimestamp, TimestampKind
from signer.parsers.signed_data import MAX_ATTRIBUTES, SignedData, SignerInfo, read_signed_data, refuse, single
from signer.parsers.tst import read_timestamp, timestamp_id
from signer.validation.reasons import Reason

MAX_INDEX: Final = 1024

_INDEX: Final = "0.4.0.1733.2.5"  # ats-hash-index: hashes of whole attributes
_INDEX_V3: Final = "0.4.0.19122.1.5"  # ats-hash-index-v3: hashes of type and value
_HASHES: Final = {oids.SHA1: "sha1", oids.SHA256: "sha256", oids.SHA384: "sha384", oids.SHA512: "sha512"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Index:
    """The hash index of a token: its octets, its hash and all hashes it names."""

    raw: bytes
    hash_name: str
    names: frozenset[bytes]


def read_archive_timestamp(
    token_der: bytes, data: SignedData, signer: SignerInfo, content: Octets | None, owner: str
) -> ParsedTimestamp:
    """Read an archive-time-stamp-v3 on the signature named `owner`; a defect in its index is kept as such."""
    bare = read_timestamp(token_der, TimestampKind.ARCHIVE, None, frozenset((owner,)))
    if bare.token is None or content is None:
        return bare
    try:
        index = _read_index(token_der)
        covered = _covered(index, data, signer)
        imprinted = _imprinted(bare.token.imprint_oid, index, data, signer, content)
    except UNREADABLE as error:
        detail = error.detail if isinstance(error, ServiceError) else "hash index"
        return replace(bare, defects=(*bare.defects, Note(reason=Reason.TIMESTAMP_MALFORMED, detail=detail)))
    return replace(bare, imprinted=imprinted, covers=frozenset((owner, *covered)))


def _read_index(token_der: bytes) -> _Index:
    unsigned = read_signed_data(token_der).signers[0].unsigned
    node = single(unsigned, _INDEX_V3) or single(unsigned, _INDEX)
    if node is None:
        raise refuse("archive time-stamp without a hash index")
    parts = list(node.expect(der.SEQUENCE).children(4))
    hash_oid = parts.pop(0).sequence()[0].oid() if len(parts) == 4 else oids.SHA256
    if len(parts) != 3 or hash_oid not in _HASHES:
        raise refuse("hash index of unknown form")
    names = frozenset(entry.octets() for part in parts for entry in part.expect(der.SEQUENCE).children(MAX_INDEX))
    return _Index(raw=node.raw, hash_name=_HASHES[hash_oid], names=names)


def _covered(index: _Index, data: SignedData, signer: SignerInfo) -> set[str]:
    """Return the time-stamps that the index covers; ServiceError when it names what is not there."""
    held = {_hash(index, choice) for choice in data.choices}
    covered: set[str] = set()
    for attribute in () if signer.unsigned_attributes is None else signer.unsigned_attributes.children(MAX_ATTRIBUTES):
        for digest, value in _spellings(index, attribute):
            held.add(digest)
            if digest in index.names and value is not None:
                covered.add(timestamp_id(value))
    if not index.names <= held:
        raise refuse("the hash index names what is not there")
    return covered


def _spellings(index: _Index, attribute: Node) -> Iterator[tuple[bytes, bytes | None]]:
    kind, values = attribute.expect(der.SEQUENCE).children(2)
    stamps = kind.oid() in (oids.ATTR_SIGNATURE_TIMESTAMP, oids.ATTR_ARCHIVE_TIMESTAMP_V3)
    for value in values.children(MAX_ATTRIBUTES):
        token = value.raw if stamps else None
        yield _hash(index, attribute.raw), token
        yield _hash(index, kind.raw + value.raw), token


def _hash(index: _Index, octets: bytes) -> bytes:
    return hashlib.new(index.hash_name, octets, usedforsecurity=False).digest()


def _imprinted(hash_oid: str, index: _Index, data: SignedData, signer: SignerInfo, content: Octets) -> Octets:
    """Return the octets to hash: content type, digest of the content, SignerInfo up to its value, index."""
    if hash_oid not in _HASHES:
        raise refuse("imprint with an unknown hash")
    digest = hashlib.new(_HASHES[hash_oid], usedforsecurity=False)
    for piece in content:
        digest.update(piece)
    fields = [field.raw for field in signer.node.sequence() if field.tag != 0xA1]
    return (der.oid(data.content_type), digest.digest(), *fields, index.raw)
