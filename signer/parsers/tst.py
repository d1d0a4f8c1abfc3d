"""RFC 3161 tokens: what they stamp, when, and the authority's signature as one more signature to judge."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from pki import ber, der, oids
from pki.der import Node
from pki.errors import ServiceError
from signer.parsers.cms import signature_of
from signer.parsers.cms_values import validation_values
from signer.parsers.model import (
    Format,
    LevelEvidence,
    Note,
    Octets,
    ParsedFile,
    ParsedTimestamp,
    TimestampKind,
    TimestampToken,
)
from signer.parsers.signed_data import read_signed_data, refuse
from signer.validation.crypto import digest
from signer.validation.reasons import Reason

_TIME: Final = re.compile(r"(\d{14})(?:\.(\d{1,9}))?Z")
_GRANTED: Final = (0, 1)  # granted, grantedWithMods (RFC 3161 §2.4.2)


def read_token(data: bytes) -> TimestampToken:
    """Read one TimeStampToken; ServiceError when it is not one."""
    signed = read_signed_data(data)
    if signed.content_type != oids.TST_INFO or signed.content is None:
        raise refuse("not a time-stamp token")
    if len(signed.signers) != 1:
        raise refuse("a time-stamp token has one signer (RFC 3161 §2.4.2)")
    content = (signed.content,)
    try:
        signature = signature_of(signed, signed.signers[0], content=content, what="tst-info", form=Format.TIMESTAMP)
        fields = der.parse(signed.content).expect(der.SEQUENCE).children(10)
        imprint_algorithm, imprint = fields[2].expect(der.SEQUENCE).children(2)
        generated_at = _generated_at(fields[4])
        values = validation_values(signed.signers[0])
        return TimestampToken(
            generated_at=generated_at,
            imprint_oid=imprint_algorithm.sequence()[0].oid(),
            imprint=imprint.octets(),
            serial=int.from_bytes(fields[3].expect(der.INTEGER).content[:64], "big", signed=True),
            policy=fields[1].oid(),
            # A token's own time takes the place of a claimed one; baseline levels are not for tokens.
            signature=replace(
                signature,
                claimed_at=generated_at,
                level=LevelEvidence(),
                certificates=signature.certificates + values.certificates,
                crls=signature.crls + values.crls,
                ocsp_responses=signature.ocsp_responses + values.ocsp_responses,
            ),
        )
    except (IndexError, ValueError) as error:
        raise refuse("a part of the time-stamp token is missing") from error


def _generated_at(node: Node) -> datetime:
    """Read genTime; a fraction with trailing zeros is tolerated, as authorities exist that write it."""
    match = _TIME.fullmatch(node.expect(der.GENERALIZED_TIME).content.decode("ascii", "replace"))
    if match is None:
        raise refuse("genTime is not in UTC form")
    try:
        moment = datetime.strptime(match[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError as error:
        raise refuse("genTime is not a calendar time") from error
    return moment.replace(microsecond=int((match[2] or "0")[:6].ljust(6, "0")))


def read_timestamp(
    data: bytes, kind: TimestampKind, imprinted: Octets | None, covers: frozenset[str] = frozenset()
) -> ParsedTimestamp:
    """Read a token in its place; one that cannot be read is kept, with its defect, and proves nothing."""
    token: TimestampToken | None = None
    defects: tuple[Note, ...] = ()
    try:
        token = read_token(data)
    except ServiceError as error:
        defects = (Note(reason=Reason.TIMESTAMP_MALFORMED, detail=error.detail),)
    return ParsedTimestamp(
        id=timestamp_id(data), kind=kind, token=token, imprinted=imprinted, covers=covers, defects=defects
    )


def read_spelled(
    data: bytes, kind: TimestampKind, spellings: Sequence[Octets], covers: frozenset[str] = frozenset()
) -> ParsedTimestamp:
    """Read a token over what implementations spell in several ways; of several, not evaluated where none is stamped."""
    stamp = read_timestamp(data, kind, None, covers)
    if stamp.token is None:
        return stamp
    fitting = (s for s in spellings if digest(stamp.token.imprint_oid, s) == stamp.token.imprint)
    return replace(stamp, imprinted=next(fitting, spellings[0] if len(spellings) == 1 else None))


def timestamp_id(data: bytes) -> str:
    """Name a time-stamp by its octets."""
    return f"T-{hashlib.sha256(data).hexdigest()[:16]}"


def unwrap_response(data: bytes) -> bytes:
    """Take the token out of a TimeStampResp, or return `data` when it is a token already.

    ServiceError for a response that grants nothing.
    """
    try:
        der.parse(data)
    except ServiceError:
        data, _ = ber.normalise(data)
    try:
        parts = der.parse(data).expect(der.SEQUENCE).children(2)
        if parts[0].tag != der.SEQUENCE:
            return data
        status = parts[0].sequence()[0].integer()
        if status not in _GRANTED or len(parts) != 2:
            raise refuse(f"the authority refused with status {status}")
    except IndexError as error:
        raise refuse("a part of the time-stamp response is missing") from error
    return parts[1].raw


def parse_token(data: bytes, content: bytes | None) -> ParsedFile:
    """Read a file that is a time-stamp token or response: the authority's signature, and what it stamps."""
    token_der = unwrap_response(data)
    token = read_token(token_der)
    timestamp = ParsedTimestamp(
        id=timestamp_id(token_der),
        kind=TimestampKind.TOKEN,
        token=token,
        imprinted=None if content is None else (content,),
    )
    return ParsedFile(format=Format.TIMESTAMP, signatures=(token.signature,), timestamps=(timestamp,))
