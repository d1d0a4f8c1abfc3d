"""Every reader of strangers' octets, with what it may raise, and what another reader must see as well."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from socket import SHUT_WR, socketpair
from typing import Any, Final
from xml.etree import ElementTree as ET

from asn1crypto import core
from asn1crypto import parser as asn1
from cryptography import x509

from ca.status.ocsp import parse_request as parse_ocsp_request
from pki import base45, ber, cbor, der
from pki.certificates import Certificate, load_certificates, name_text
from pki.compact_jws import CompactJws, HeaderRule
from pki.csr import challenge_password, parse_csr
from pki.errors import ServiceError
from pki.jose import exact_json, json_object, strict_json
from pki.jwks import KeySet
from pki.names import NameConstraints, name_key
from pki.notes import parse_checkpoint, parse_note
from pki.pkcs7 import decode_body, read_certs_only
from signer.isolation.order import Answer, Order, ReportKind
from signer.isolation.wire import Channel
from signer.parsers.asic import parse_asic
from signer.parsers.asic_manifest import read_manifest
from signer.parsers.cades import parse_cms
from signer.parsers.cose import parse_cose
from signer.parsers.detect import detect
from signer.parsers.jades import parse_jws
from signer.parsers.model import UNREADABLE
from signer.parsers.pades import parse_pdf
from signer.parsers.parse import parse
from signer.parsers.signed_data import read_signed_data
from signer.parsers.tst import parse_token
from signer.rendering import render
from signer.timestamps.messages import parse_request, read_response
from signer.trust.bundle import parse_payload
from signer.trust.signed import read_bundle, read_kept
from signer.validation.crl import entry_of, parse_crl
from signer.validation.crl_scope import fresher_addresses, scope_of
from signer.validation.fhir_kinds import resource_kinds
from signer.validation.ocsp import parse_response
from signer.validation.policy import parse_policy
from signer.validation.verdict import Indication
from signer.validation.verify import verify_bytes
from tests.fuzz.seeds import CONTENT, Kind, good_files, world

_DAY: Final = datetime(2026, 11, 22, tzinfo=UTC)
_RULE: Final = HeaderRule(types=frozenset({"jose+json", "at+jwt"}), names=frozenset({"kid", "cty"}))


class Differs(AssertionError):
    """Two readers of one file see different things."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A reader: `share` of all inputs goes to it; what it returns is the same for the same octets.

    `raises` is what it documents; anything else that leaves it is a fault.
    """

    read: Callable[[bytes], object]
    kinds: tuple[Kind, ...]
    share: int
    raises: tuple[type[Exception], ...] = (ServiceError,)


def _walk(node: der.Node, theirs: bytes, depth: int = 0) -> int:
    """Compare our reading with another strict one, value by value; return how many."""
    class_, method, tag, header, content, trailer = asn1.parse(theirs, strict=True)
    ours = (node.tag >> 6, node.tag >> 5 & 1, node.tag & 0x1F, node.content)
    if ours != (class_, method, tag, content) or trailer or header + content != node.raw:
        raise Differs("asn1crypto reads another value")
    count = 1
    if node.tag & 0x20 and depth < der.MAX_DEPTH:
        count += sum(_walk(one, one.raw, depth + 1) for one in node.children())
    elif node.tag == der.INTEGER:
        if node.integer() != core.Integer.load(node.raw).native:
            raise Differs("asn1crypto reads another number")
    elif node.tag == der.OID:
        if node.oid() != core.ObjectIdentifier.load(node.raw).dotted:
            raise Differs("asn1crypto reads another name")
    elif node.tag in (der.UTC_TIME, der.GENERALIZED_TIME):
        kind = core.UTCTime if node.tag == der.UTC_TIME else core.GeneralizedTime
        moment = node.time()
        if kind.load(node.raw).native != moment:
            raise Differs("asn1crypto reads another time")
        if not moment.microsecond and der.parse(der.time(moment)).time() != moment:
            raise Differs("a time does not come back")
    return count


def _der(data: bytes) -> object:
    return _walk(der.parse(data), data)


def _normalised(data: bytes) -> object:
    encoded, changed = ber.normalise(data)
    again, more = ber.normalise(encoded)
    if more or again != encoded or changed != (encoded != data):
        raise Differs("what was made DER is not")
    return encoded


_THEIR_REFUSALS: Final = (
    ValueError,
    TypeError,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
_MEMBERS: Final = (
    *("key_usage", "extended_key_usage", "is_ca", "path_length", "policies", "subject_key_identifier"),
    *("authority_key_identifier", "ocsp_urls", "issuer_urls", "crl_urls", "san_uris", "san_other_names"),
    *("admission", "subject_attributes", "subject", "issuer", "spki_sha1", "serial_hex"),
)


def _certificate(data: bytes) -> object:
    ours = Certificate.parse_once(data)
    said: dict[str, object] = {}
    for name in _MEMBERS:
        try:
            said[name] = getattr(ours, name)
        except UNREADABLE:  # what every user of these members is prepared for
            said[name] = None
    for read in (lambda: name_key(ours.subject_der), lambda: NameConstraints().within(ours).admit(ours)):
        try:
            read()
        except UNREADABLE:
            continue
    try:
        theirs = x509.load_der_x509_certificate(data)
        seen = (
            theirs.serial_number, theirs.not_valid_before_utc, theirs.not_valid_after_utc, theirs.tbs_certificate_bytes,
            theirs.signature, theirs.issuer.public_bytes(), theirs.subject.public_bytes(),
            {one.oid.dotted_string: one.critical for one in theirs.extensions},
        )  # fmt: skip
    except _THEIR_REFUSALS:
        return said  # ours takes what the field writes
    marks = {name: one.critical for name, one in ours.extensions.items()}
    mine = (ours.serial, ours.not_before, ours.not_after, ours.tbs, ours.signature, ours.issuer_der, ours.subject_der)
    if (*mine[:5], marks) != (*seen[:5], seen[-1]):
        raise Differs(f"cryptography reads another certificate: {mine[:3]} {marks} against {seen[:3]} {seen[-1]}")
    return said


def _list(data: bytes) -> object:
    ours = parse_crl(data)
    for read in (lambda: (ours.number, ours.base_number), lambda: scope_of(ours), lambda: fresher_addresses(ours)):
        try:
            read()
        except UNREADABLE:
            continue
    try:
        theirs = x509.load_der_x509_crl(data)
        revoked = [(one.serial_number, one.revocation_date_utc) for one in theirs]
        times = theirs.last_update_utc, theirs.next_update_utc
    except _THEIR_REFUSALS:
        return ours.this_update
    if times != (ours.this_update, ours.next_update) or theirs.tbs_certlist_bytes != ours.tbs:
        raise Differs("cryptography reads another list")
    for serial, at in revoked[:50]:
        try:
            entry = entry_of(ours, serial)
        except UNREADABLE:
            continue
        if entry is None:
            raise Differs(f"cryptography sees {serial} revoked at {at}")
    return ours.this_update


def _request(data: bytes) -> object:
    csr = parse_csr(data)
    try:
        return csr.spki_der, challenge_password(csr.der)
    except ServiceError as error:
        return str(error)


def _cbor(data: bytes) -> object:
    value, deterministic = cbor.decode(data)
    try:
        written = cbor.encode(value)
    except ValueError:
        return repr(value)  # floats are read only
    if (written == data) is not deterministic:
        raise Differs("what is written in one way is not")
    return repr(value)


def _base45(data: bytes) -> object:
    octets = base45.decode(data)
    if base45.encode(octets) != data:
        raise Differs("what is written in one way is not")
    return octets


def _note(data: bytes) -> object:
    text = data.decode("utf-8", "replace")
    try:
        return parse_note(text)
    except ServiceError:
        return parse_checkpoint(text)


def _wire(data: bytes) -> object:
    ours, theirs = socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        theirs.send(data[:4096])
        theirs.shutdown(SHUT_WR)
        parts = Channel(ours).receive()
    for read in (Order.of, Answer.of):
        try:
            read(parts)
        except (ValueError, KeyError, TypeError, ServiceError):
            continue
    return parts


def _parsed(data: bytes) -> object:
    form = detect(data)
    return None if form is None else [one.id for one in parse(data, form, CONTENT).signatures]


def _verdict(data: bytes) -> object:
    context = world().context(content=CONTENT)
    verdict = verify_bytes(data, context)
    answer = render(verdict, Order(data=data, name="file"))
    json_object(answer.text)
    if any(one.indication is Indication.PASSED and one.crypto != "intact" for one in verdict.signatures):
        raise Differs("passed without sound cryptography")
    if any(one.detail.isidentifier() and one.detail.endswith("Error") for one in verdict.findings):
        raise Differs(f"answered by the last resort: {[one.detail for one in verdict.findings]}")
    return answer.text


def _report(data: bytes) -> object:
    verdict = verify_bytes(data, world().context(content=CONTENT))
    at = sum(data[:64]) % 16  # a PDF costs as much as ten others
    kind = ReportKind.PDF if at == 0 else (ReportKind.HTML, ReportKind.JSON, ReportKind.XML)[at % 3]
    answer = render(verdict, Order(data=data, name="file", report=kind))
    match kind:
        case ReportKind.JSON:
            json_object(answer.report)
        case ReportKind.XML:
            ET.fromstring(answer.report)  # noqa: S314 - our own
        case _:
            if not answer.report.startswith((b"<!doctype html>", b"%PDF-")):
                raise Differs("a report is neither a page nor a PDF")
    return answer.report


def _names(parsed: Any) -> list[str]:
    return [one.id for one in (*parsed.signatures, *parsed.timestamps)]


def seeds_of(target: Target) -> list[bytes]:
    """Return the good files that a target reads, or all of its kinds where it reads none; it is to go deep in them."""
    files = [data for kind in target.kinds for data in good_files()[kind]]
    taken = []
    for data in files:
        try:
            target.read(data)
        except target.raises:
            continue
        taken.append(data)
    return taken or files


_DER, _JSON, _PDF, _ZIP, _RAW = (Kind.DER,), (Kind.JSON,), (Kind.PDF,), (Kind.ZIP,), (Kind.RAW,)

TARGETS: Final[dict[str, Target]] = {
    "der": Target(read=_der, kinds=_DER, share=12),
    "ber": Target(read=_normalised, kinds=_DER, share=8),
    "certificate": Target(read=_certificate, kinds=_DER, share=9),
    "certificates": Target(read=load_certificates, kinds=(Kind.DER, Kind.RAW), share=2),
    "csr": Target(read=_request, kinds=_DER, share=4),
    "crl": Target(read=_list, kinds=_DER, share=6),
    "ocsp-response": Target(read=parse_response, kinds=_DER, share=5),
    "ocsp-request": Target(read=parse_ocsp_request, kinds=_DER, share=4),
    "tst-request": Target(read=parse_request, kinds=_DER, share=2),
    "tst-response": Target(read=lambda data: read_response(data, bytes(32), 7), kinds=_DER, share=3),
    "tst": Target(read=lambda data: _names(parse_token(data, CONTENT)), kinds=_DER, share=4),
    "certs-only": Target(read=read_certs_only, kinds=_DER, share=1),
    "signed-data": Target(read=read_signed_data, kinds=_DER, share=4),
    "cms": Target(read=lambda data: _names(parse_cms(data, CONTENT)), kinds=_DER, share=6),
    "est-body": Target(read=lambda data: decode_body(data, 32 * 1024), kinds=_RAW, share=1),
    "json": Target(read=lambda data: (strict_json(data), exact_json(data)), kinds=_JSON, share=2),
    "jws": Target(read=lambda data: _names(parse_jws(data, CONTENT)), kinds=_JSON, share=7),
    "compact-jws": Target(read=lambda data: CompactJws.read(data, _RULE).claims(), kinds=_JSON, share=2),
    "jwks": Target(read=lambda data: len(KeySet.parse(data, _DAY).document()), kinds=_JSON, share=1),
    "policy": Target(read=lambda data: repr(parse_policy(data)), kinds=_JSON, share=1),
    "trust": Target(read=lambda data: repr(parse_payload(data)), kinds=_JSON, share=1),
    "trust-bundle": Target(read=lambda data: repr(read_bundle(data, _DAY)), kinds=_JSON, share=1),
    "kept-bundle": Target(read=lambda data: repr(read_kept(data, _DAY)), kinds=_JSON, share=1),
    "fhir-kinds": Target(read=lambda data: sorted(resource_kinds((data,))), kinds=_JSON, share=1),
    "names": Target(read=name_text, kinds=_DER, share=1),
    "cbor": Target(read=_cbor, kinds=_RAW, share=2),
    "code": Target(read=lambda data: _names(parse_cose(data, CONTENT)), kinds=_RAW, share=3),
    "base45": Target(read=_base45, kinds=_RAW, share=1),
    "note": Target(read=_note, kinds=_RAW, share=1),
    "wire": Target(read=_wire, kinds=_RAW, share=1, raises=(ServiceError, EOFError)),
    "manifest": Target(read=read_manifest, kinds=_RAW, share=2),
    "asic": Target(read=lambda data: _names(parse_asic(data)), kinds=_ZIP, share=3),
    "pdf": Target(read=lambda data: _names(parse_pdf(data)), kinds=_PDF, share=2),
    "any": Target(read=_parsed, kinds=tuple(Kind), share=3),
    "verdict": Target(read=_verdict, kinds=tuple(Kind), share=3),
    "report": Target(read=_report, kinds=(Kind.JSON, Kind.RAW), share=1),
}
