"""ASiC containers with CAdES signatures and time-stamps (ETSI EN 319 162-1): simple ones and extended ones.

A simple container holds one file and a signature over it; in an extended one each signature covers a manifest, which
names files by digest. What no signature covers is told. XML signatures are recognised and not judged.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from pki.errors import ErrorCode, InvalidInput, ServiceError
from signer.parsers.asic_container import read_container
from signer.parsers.asic_manifest import Manifest, Reference, read_manifest
from signer.parsers.cades import signatures_of
from signer.parsers.model import (
    MAX_DIGESTED_OCTETS,
    MAX_SIGNATURES,
    MAX_TIMESTAMPS,
    UNREADABLE,
    Format,
    Note,
    Octets,
    ParsedFile,
    ParsedSignature,
    ParsedTimestamp,
    SignedObject,
    TimestampKind,
    UnreadableSignature,
)
from signer.parsers.signed_data import read_signed_data
from signer.parsers.tst import read_timestamp
from signer.validation.crypto import HASH_NAMES
from signer.validation.reasons import Reason

_MIMETYPE: Final = "mimetype"
_SIMPLE: Final = b"application/vnd.etsi.asic-s+zip"
_EXTENDED: Final = b"application/vnd.etsi.asic-e+zip"
_META: Final = "META-INF/"
_SIGNATURE: Final = re.compile(r"META-INF/[^/]*signatures?[^/]*\.p7[sm]", re.IGNORECASE)
_TIMESTAMP: Final = re.compile(r"META-INF/[^/]*timestamp[^/]*\.tst", re.IGNORECASE)
_XML_SIGNATURE: Final = re.compile(r"META-INF/[^/]*signatures[^/]*\.xml", re.IGNORECASE)
_MANIFEST: Final = re.compile(r"META-INF/ASiC(?:Archive)?Manifest[^/]*\.xml", re.IGNORECASE)


@dataclass
class _Found:
    """What a container holds, as it is read."""

    files: Mapping[str, bytes]
    signatures: list[ParsedSignature | UnreadableSignature] = field(default_factory=list)
    timestamps: list[ParsedTimestamp] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    names: dict[str, set[str]] = field(default_factory=dict)  # ids of what a file of the container holds
    values: dict[str, frozenset[bytes]] = field(default_factory=dict)  # and the validation data in it, as DER
    covered: set[str] = field(default_factory=set)

    @property
    def data(self) -> list[str]:
        """The names of the files that are signed or could be."""
        return [name for name in self.files if name != _MIMETYPE and not name.startswith(_META)]


def parse_asic(data: bytes) -> ParsedFile:
    """Read a container; ServiceError when it cannot be read."""
    files = read_container(data)
    found = _Found(files=files)
    kind = files.get(_MIMETYPE, b"").strip()
    if kind == _SIMPLE or (kind != _EXTENDED and not any(map(_MANIFEST.fullmatch, files))):
        _read_simple(found)
    else:
        _read_extended(found)
    for name in filter(_XML_SIGNATURE.fullmatch, files):
        note = Note(reason=Reason.FORMAT_NOT_SUPPORTED, detail=name)
        found.signatures.append(
            UnreadableSignature(id=_name_of(files[name]), format=Format.XADES, note=note, foreign=True)
        )
        found.covered.update(found.data)  # what it covers is not known
    if len(found.signatures) > MAX_SIGNATURES or len(found.timestamps) > MAX_TIMESTAMPS:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, "too many signatures or time-stamps in the container")
    alone = [name for name in found.data if name not in found.covered]
    archived = frozenset().union(*(stamp.covers for stamp in found.timestamps if stamp.kind is TimestampKind.ARCHIVE))
    return ParsedFile(
        format=Format.ASIC,
        signatures=tuple(_levelled(one, archived) for one in found.signatures),
        timestamps=tuple(found.timestamps),
        notes=(*found.notes, *(Note(reason=Reason.FILE_NOT_SIGNED, detail=name) for name in alone)),
    )


def _levelled(
    one: ParsedSignature | UnreadableSignature, archived: frozenset[str]
) -> ParsedSignature | UnreadableSignature:
    """Count a time-stamp over the manifest that names a signature's file as its archive time-stamp (§4.4.4)."""
    if isinstance(one, UnreadableSignature) or one.id not in archived:
        return one
    return replace(one, level=replace(one.level, archive_timestamp=True))


def _name_of(data: bytes) -> str:
    return f"F-{hashlib.sha256(data).hexdigest()[:16]}"


# -- ASiC-S -----------------------------------------------------------------------------------------


def _read_simple(found: _Found) -> None:
    if len(found.data) != 1:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "container: a simple one holds one file beside its signatures")
    (name,) = found.data
    content = (found.files[name],)
    for place in filter(_SIGNATURE.fullmatch, found.files):
        _add_signatures(found, place, content, name)
        found.covered.add(name)
    for place in filter(_TIMESTAMP.fullmatch, found.files):
        found.timestamps.append(read_timestamp(found.files[place], TimestampKind.DOCUMENT, content))
        found.covered.add(name)


# -- ASiC-E -----------------------------------------------------------------------------------------


def _read_extended(found: _Found) -> None:
    manifests: dict[str, Manifest] = {}
    unread: list[str] = []
    for place in filter(_MANIFEST.fullmatch, found.files):
        try:
            manifests[place] = read_manifest(found.files[place])
        except ServiceError as error:
            unread.append(place)
            found.notes.append(Note(reason=Reason.FORMAT_MALFORMED, detail=f"{place}: {error.detail}"))
    named = sum(len(found.files.get(one.name, b"")) for manifest in manifests.values() for one in manifest.references)
    if named > MAX_DIGESTED_OCTETS:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, f"more than {MAX_DIGESTED_OCTETS} octets to digest")
    stamped: list[tuple[str, Manifest]] = []
    for place, manifest in manifests.items():
        if _TIMESTAMP.fullmatch(manifest.signature):
            stamped.append((place, manifest))
        else:
            _add_manifest(found, place, manifest)
    signed = {manifest.signature for manifest in manifests.values()}
    for place in (name for name in found.files if _SIGNATURE.fullmatch(name) and name not in signed):
        _add_stray(found, place, unread)
    for _, manifest in stamped:
        if manifest.signature in found.files:
            bare = _stamp_of(found, manifest, (), frozenset())
            found.names[manifest.signature] = {bare.id}
            if bare.token is not None:
                found.values[manifest.signature] = bare.token.signature.values
    for place, manifest in stamped:
        _add_stamp(found, place, manifest)


def _add_manifest(found: _Found, place: str, manifest: Manifest) -> None:
    """Add the signatures over a manifest, each with the files that it names."""
    if manifest.signature not in found.files:
        note = Note(reason=Reason.FORMAT_MALFORMED, detail=f"{place} names a signature that is not there")
        found.signatures.append(UnreadableSignature(id=_name_of(found.files[place]), format=Format.CADES, note=note))
        return
    objects = tuple(
        SignedObject(
            what=reference.name,
            octets=(found.files[reference.name],) if reference.name in found.files else None,
            digest_oid=reference.digest_oid,
            expected=reference.digest,
        )
        for reference in manifest.references
    )
    found.covered.update(reference.name for reference in manifest.references)
    _add_signatures(found, manifest.signature, (found.files[place],), place, objects)


def _add_stray(found: _Found, place: str, unread: list[str]) -> None:
    """Judge a signature that no manifest names over the one manifest that cannot be read, or call it malformed."""
    note = Note(reason=Reason.FORMAT_MALFORMED, detail=f"no manifest names {place}")
    if len(unread) == 1:
        _add_signatures(found, place, (found.files[unread[0]],), unread[0], defects=(note,))
    else:
        data = found.files[place]
        found.signatures.append(UnreadableSignature(id=_name_of(data), format=Format.CADES, note=note))


def _add_signatures(
    found: _Found,
    place: str,
    content: Octets,
    what: str,
    objects: tuple[SignedObject, ...] = (),
    defects: tuple[Note, ...] = (),
) -> None:
    try:
        signed_data = read_signed_data(found.files[place])
        if signed_data.content is not None:
            defects += (Note(reason=Reason.FORMAT_MALFORMED, detail=f"{place} holds a content of its own"),)
        read = signatures_of(signed_data, content, what=what)
    except UNREADABLE as error:
        detail = error.detail if isinstance(error, ServiceError) else "unreadable"
        note = Note(reason=Reason.FORMAT_MALFORMED, detail=f"{place}: {detail}")
        read = (UnreadableSignature(id=_name_of(found.files[place]), format=Format.CADES, note=note),)
    for one in read:
        found.names.setdefault(place, set()).add(one.id)
        if isinstance(one, ParsedSignature):
            one = replace(one, objects=one.objects + objects, defects=one.defects + defects)  # noqa: PLW2901
            found.names[place].update(stamp.id for stamp in one.timestamps)
            found.values[place] = found.values.get(place, frozenset()) | one.values
        found.signatures.append(one)


# -- time-stamps over manifests ---------------------------------------------------------------------


def _stamp_of(found: _Found, manifest: Manifest, content: Octets, covers: frozenset[str]) -> ParsedTimestamp:
    return read_timestamp(found.files[manifest.signature], TimestampKind.ARCHIVE, content, covers)


def _add_stamp(found: _Found, place: str, manifest: Manifest) -> None:
    """Add the time-stamp over a manifest: it proves that what the manifest names existed, where the digests fit."""
    found.covered.update(reference.name for reference in manifest.references)
    if manifest.signature not in found.files:
        found.notes.append(Note(reason=Reason.FORMAT_MALFORMED, detail=f"{place} names a time-stamp that is not there"))
        return
    wrong = [reference.name for reference in manifest.references if not _fits(found.files, reference)]
    covers = frozenset(name for one in manifest.references for name in found.names.get(one.name, ()))
    stamp = _stamp_of(found, manifest, (found.files[place],), covers if not wrong else frozenset())
    defects = tuple(Note(reason=Reason.DIGEST_MISMATCH, detail=name) for name in wrong)
    values = (found.values.get(one.name, frozenset()) for one in manifest.references)
    found.timestamps.append(
        replace(
            stamp,
            values=frozenset() if wrong else frozenset().union(*values),
            hashes=tuple(one.digest_oid for one in manifest.references),
            defects=stamp.defects + defects,
        )
    )


def _fits(files: Mapping[str, bytes], reference: Reference) -> bool:
    data, name = files.get(reference.name), HASH_NAMES.get(reference.digest_oid)
    if data is None or name is None:
        return False
    return hashlib.new(name, data, usedforsecurity=False).digest() == reference.digest
