"""What the readers make of files, and that nothing but a ServiceError leaves them."""

import base64
import hashlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pki import der, oids
from pki.errors import InvalidInput, ServiceError
from pki.jose import b64url, compact_json
from signer.formats.cades import add_signature_timestamp, sign_cades
from signer.parsers import jws
from signer.parsers.cades import parse_cms, unwrap_pem
from signer.parsers.detect import detect
from signer.parsers.jades import parse_jws
from signer.parsers.model import Format, ParsedSignature, TimestampKind, UnreadableSignature
from signer.parsers.parse import parse
from signer.parsers.signed_data import read_signed_data
from signer.parsers.tst import parse_token, read_token, unwrap_response
from signer.timestamps.messages import build_granted
from signer.validation.reasons import Reason
from tests.support.forge import CmsForge, JwsForge, attribute, forge_token
from tests.support.zoo import SIGNED_AT, Zoo, make_zoo

CONTENT = b"content of a document"


@pytest.fixture(scope="module")
def zoo() -> Zoo:
    return make_zoo()


@pytest.fixture(scope="module")
def token(zoo: Zoo) -> bytes:
    return zoo.stamper(SIGNED_AT).stamp(hashlib.sha256(CONTENT).digest())


@pytest.fixture(scope="module")
def stamped_cms(zoo: Zoo, token: bytes) -> bytes:
    stamp = attribute(oids.ATTR_SIGNATURE_TIMESTAMP, token)
    return CmsForge(content=CONTENT, holder=zoo.clinician, unsigned=(stamp,)).build()


def pem_of(data: bytes, label: str = "PKCS7") -> bytes:
    body = base64.encodebytes(data).decode()
    return f"-----BEGIN {label}-----\n{body}-----END {label}-----\n".encode()


# Formats


def test_formats_are_told_apart_by_their_first_octets(zoo: Zoo, token: bytes) -> None:
    cms = CmsForge(content=CONTENT, holder=zoo.clinician).build()
    compact = JwsForge(payload=CONTENT, holder=zoo.clinician).compact()
    expected: dict[Format | None, tuple[bytes, ...]] = {
        Format.CMS: (cms, pem_of(cms), pem_of(cms, "CMS"), cms[:40], b"\x30\x80" + cms[4:]),
        Format.TIMESTAMP: (token, build_granted(token)),
        Format.JADES: (
            compact,
            compact[:-3],
            b' {"payload":"","signature":""}',
            b'{"protected":1',
            b'{"signatures":[]}',
        ),
        Format.PADES: (b"%PDF-1.7", b"\n junk %PDF-2.0"),
        Format.XADES: (
            b'<a xmlns:ds="http://www.w3.org/2000/09/xmldsig#"/>',
            b"\xef\xbb\xbf<?xml?><http://www.w3.org/2000/09/xmldsig#",
        ),
        Format.ASIC: (
            b"PK\x03\x04" + b"mimetypeapplication/vnd.etsi.asic-e+zip",
            b"PK\x03\x04xxMETA-INF/signatures0.p7s",
        ),
        Format.COSE: (b"IRX1:6BFOXN", b"HC1:6BFOXN", b"\xd2\x84\x43", b"\xd8\x3d\xd2\x84\x43"),
        None: (
            b"",
            b"PK\x03\x04 other",
            b"<html/>",
            b'{"payload":1}',
            b"0\x03\x02\x01\x01",
            b"ey",
            b"\x00" * 9,
            b"IRX2:",
        ),
    }
    for form, samples in expected.items():
        for sample in samples:
            assert detect(sample) is form, sample[:40]


def test_a_pdf_inside_a_cms_is_still_a_cms(zoo: Zoo) -> None:
    assert detect(CmsForge(content=b"%PDF-1.7 ...", holder=zoo.clinician).build()) is Format.CMS


def test_a_format_without_a_parser_yields_one_signature_that_says_so() -> None:
    (signature,) = parse(b"anything", Format.XADES).signatures
    assert isinstance(signature, UnreadableSignature)
    assert (signature.foreign, signature.note.reason) == (True, Reason.FORMAT_NOT_SUPPORTED)


# CMS


def test_pem_is_unwrapped_and_only_one_block(zoo: Zoo) -> None:
    cms = CmsForge(content=CONTENT, holder=zoo.clinician).build()
    assert unwrap_pem(pem_of(cms)) == cms
    assert [note.reason for note in parse_cms(pem_of(cms), None).notes] == [Reason.PEM_WRAPPED]
    for wrong in (
        pem_of(cms) * 2,
        pem_of(cms) + b"x",
        pem_of(cms).replace(b"END PKCS7", b"END CMS"),
        b"-----BEGIN CMS-----",
    ):
        with pytest.raises(InvalidInput):
            parse_cms(wrong, None)


def test_the_body_of_a_pem_block_is_read_without_its_marks(zoo: Zoo) -> None:
    cms = CmsForge(content=CONTENT, holder=zoo.clinician).build()
    for body in (
        base64.b64encode(cms),
        base64.encodebytes(cms),
        b"\n" + base64.encodebytes(cms).replace(b"\n", b"\r\n"),
    ):
        assert detect(body) is Format.CMS
        assert [one.id for one in parse_cms(body, None).signatures] == [
            one.id for one in parse_cms(cms, None).signatures
        ]
    assert detect(base64.b64encode(zoo.clinician.certificate.der)) is None
    for wrong in (
        base64.b64encode(cms)[:-3],
        base64.b64encode(cms) * 2,
        base64.b64encode(cms) + b"!",
        base64.b64encode(cms + b"x"),
    ):
        with pytest.raises(InvalidInput):
            parse_cms(wrong, None)


def test_a_signature_keeps_its_name_and_what_it_covers(zoo: Zoo) -> None:
    cms = sign_cades(CONTENT, zoo.clinician.key, zoo.clinician.chain, signed_at=SIGNED_AT, detached=False)
    (first,), (second,) = (
        parse_cms(add_signature_timestamp(cms, zoo.stamper(SIGNED_AT)), None).signatures for _ in "12"
    )
    assert isinstance(first, ParsedSignature)
    assert isinstance(second, ParsedSignature)
    assert first.id == second.id
    assert (first.format, first.claimed_at, first.content_type) == (Format.CADES, SIGNED_AT, oids.CMS_DATA)
    assert [b"".join(item.octets or ()) for item in first.objects] == [CONTENT]
    assert [(stamp.kind, stamp.covers) for stamp in first.timestamps] == [
        (TimestampKind.SIGNATURE, frozenset((first.id,)))
    ]
    assert set(first.certificates) == set(zoo.clinician.chain)


def test_one_unreadable_signer_does_not_hide_another(zoo: Zoo) -> None:
    empty_reference = attribute(oids.ATTR_SIGNING_CERTIFICATE_V2, der.sequence(der.sequence()))
    bad = CmsForge(
        content=CONTENT,
        holder=zoo.clinician,
        without=(oids.ATTR_SIGNING_CERTIFICATE_V2,),
        extra=(empty_reference,),
    )
    good = CmsForge(content=CONTENT, holder=zoo.clinician)
    parts = der.parse(good.signed_data()).sequence()
    both = der.sequence(*(p.raw for p in parts[:-1]), der.tlv(der.SET, good.signer_info(), bad.signer_info()))
    parsed = parse_cms(der.sequence(der.oid(oids.CMS_SIGNED_DATA), der.context(0, both)), None)
    assert [type(signature) for signature in parsed.signatures] == [ParsedSignature, UnreadableSignature]


def test_an_unreadable_extra_certificate_is_noted(zoo: Zoo) -> None:
    forge = CmsForge(content=CONTENT, holder=zoo.clinician)
    parts = list(der.parse(forge.signed_data()).sequence())
    certificates = der.context(0, zoo.clinician.certificate.der, der.sequence(der.null()))
    data = der.sequence(*(p.raw for p in parts[:3]), certificates, parts[4].raw)
    (signature,) = parse_cms(der.sequence(der.oid(oids.CMS_SIGNED_DATA), der.context(0, data)), None).signatures
    assert isinstance(signature, ParsedSignature)
    assert Reason.CERTIFICATE_UNREADABLE in {note.reason for note in signature.notes}


# Time-stamps


def test_a_token_says_what_it_stamps_and_when(zoo: Zoo, token: bytes) -> None:
    read = read_token(token)
    assert (read.generated_at, read.imprint_oid) == (SIGNED_AT, oids.SHA256)
    assert read.imprint == hashlib.sha256(CONTENT).digest()
    assert unwrap_response(build_granted(token)) == token
    assert unwrap_response(token) == token
    names = [parse_token(data, CONTENT).timestamps[0].id for data in (build_granted(token), token)]
    assert names[0] == names[1]


def test_a_refusal_is_no_token() -> None:
    rejected = der.sequence(der.sequence(der.integer(2)))
    with pytest.raises(InvalidInput, match="refused"):
        parse_token(rejected, None)


@pytest.mark.parametrize("text", [b"20261122090000.100Z", b"20261122090000.1234567Z", b"20261122090000Z"])
def test_fractions_that_authorities_write_are_read(zoo: Zoo, text: bytes) -> None:
    assert read_token(_retimed(zoo, text)).generated_at.year == 2026


@pytest.mark.parametrize("text", [b"20261122090000", b"20261322090000Z", b"2026Z", b"20261122090000+0330", b""])
def test_other_times_are_refused(zoo: Zoo, text: bytes) -> None:
    with pytest.raises(InvalidInput):
        read_token(_retimed(zoo, text))


def _retimed(zoo: Zoo, text: bytes) -> bytes:
    token = forge_token(bytes(32), zoo.tsa, SIGNED_AT)
    content = read_signed_data(token).content or b""
    fields = [node.raw for node in der.parse(content).sequence()]
    fields[4] = der.tlv(der.GENERALIZED_TIME, text)
    return CmsForge(content=der.sequence(*fields), holder=zoo.tsa, content_type=oids.TST_INFO).build()


def test_a_token_with_two_signers_is_refused(zoo: Zoo) -> None:
    content = read_signed_data(forge_token(bytes(32), zoo.tsa, SIGNED_AT)).content or b""
    doubled = CmsForge(content=content, holder=zoo.tsa, content_type=oids.TST_INFO, signers=2).build()
    with pytest.raises(InvalidInput):
        read_token(doubled)


# Archive time-stamps


def _archived(zoo: Zoo, *, spoil_index: bool = False, leave_out: bool = False) -> ParsedSignature:
    """Stamp a CAdES-T as archive-time-stamp-v3 would, over an index of certificate and signature time-stamp."""
    forge = CmsForge(content=CONTENT, holder=zoo.clinician, signing_time=SIGNED_AT)
    value = zoo.clinician.key.sign(der.tlv(der.SET, *forge.attributes()))
    forge.spoil = lambda _value: value
    stamp = attribute(oids.ATTR_SIGNATURE_TIMESTAMP, forge_token(hashlib.sha256(value).digest(), zoo.tsa, SIGNED_AT))
    kind, values = der.parse(stamp).sequence()
    attribute_hash = hashlib.sha256(kind.raw + values.set_of()[0].raw).digest()
    named = () if leave_out else (bytes(32) if spoil_index else attribute_hash,)
    index = der.sequence(
        der.sequence(der.oid(oids.SHA256)),
        der.sequence(der.octet_string(zoo.clinician.certificate.sha256)),
        der.sequence(),
        der.sequence(*(der.octet_string(name) for name in named)),
    )
    info = [node.raw for node in der.parse(forge.signer_info()).sequence()]
    imprint = hashlib.sha256(
        b"".join((der.oid(oids.CMS_DATA), hashlib.sha256(CONTENT).digest(), *info, index))
    ).digest()
    content = read_signed_data(forge_token(imprint, zoo.tsa, SIGNED_AT)).content or b""
    indexed = attribute("0.4.0.19122.1.5", index)
    token = CmsForge(content=content, holder=zoo.tsa, content_type=oids.TST_INFO, unsigned=(indexed,)).build()
    forge.unsigned = (stamp, attribute(oids.ATTR_ARCHIVE_TIMESTAMP_V3, token))
    (signature,) = parse_cms(forge.build(), None).signatures
    assert isinstance(signature, ParsedSignature)
    return signature


def test_an_archive_time_stamp_covers_what_its_index_names(zoo: Zoo) -> None:
    signature = _archived(zoo)
    stamp, archive = signature.timestamps
    assert archive.token is not None
    assert hashlib.sha256(b"".join(archive.imprinted or ())).digest() == archive.token.imprint
    assert archive.covers == {signature.id, stamp.id}
    bare = _archived(zoo, leave_out=True)
    assert bare.timestamps[1].covers == {bare.id}


def test_an_index_that_names_what_is_not_there_is_a_defect(zoo: Zoo) -> None:
    archive = _archived(zoo, spoil_index=True).timestamps[1]
    assert [note.reason for note in archive.defects] == [Reason.TIMESTAMP_MALFORMED]


# JWS


def test_detached_and_empty_payloads_are_one(zoo: Zoo) -> None:
    protected, _payload, signature = JwsForge(payload=b"", holder=zoo.clinician).parts()
    for data in (
        f"{protected}..{signature}".encode(),
        compact_json({"protected": protected, "payload": "", "signature": signature}),
        compact_json({"protected": protected, "signature": signature}),
    ):
        (parsed,) = parse_jws(data, None).signatures
        assert isinstance(parsed, ParsedSignature)
        assert [item.octets for item in parsed.objects] == [None]


@pytest.mark.parametrize("data", [b"", b".", b"a.b", b"a.b.c.d", b"{", b"[]", b"{}", b'{"signature":1,"protected":""}'])
def test_what_is_no_jws_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        [jws.read(raw) for raw in jws.split(data)]


# Properties

READERS: dict[str, Callable[[bytes], object]] = {
    "signed-data": read_signed_data,
    "token": lambda data: parse_token(data, None),
    "cms": lambda data: parse_cms(data, None),
    "jws": lambda data: parse_jws(data, b"content"),
    "pem": unwrap_pem,
}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=80, deadline=None)
@given(data=st.binary(max_size=200))
def test_readers_raise_only_service_errors(name: str, data: bytes) -> None:
    for candidate in (data, b"\x30\x80" + data, b"{" + data):
        try:
            READERS[name](candidate)
        except ServiceError:
            continue


@settings(max_examples=150, deadline=None)
@given(draw=st.data())
def test_a_mutated_cms_raises_only_service_errors(stamped_cms: bytes, draw: st.DataObject) -> None:
    good = stamped_cms
    at = draw.draw(st.integers(0, len(good) - 1))
    mutated = good[:at] + draw.draw(st.binary(max_size=4)) + good[at + draw.draw(st.integers(0, 4)) :]
    for read in (read_signed_data, lambda data: parse_cms(data, None)):
        try:
            read(mutated)
        except ServiceError:
            continue


@settings(max_examples=150, deadline=None)
@given(
    header=st.dictionaries(
        st.sampled_from(["alg", "crit", "b64", "x5c", "x5t#S256", "x5t#o", "sigX5ts", "sigD", "iat", "sigT", "cty"]),
        json_values,
    ),
    unprotected=st.dictionaries(st.sampled_from(["etsiU", "x5c", "kid"]), json_values),
)
def test_any_header_of_any_types_is_read_or_refused(header: dict[str, object], unprotected: dict[str, object]) -> None:
    document = {
        "protected": b64url(compact_json({"alg": "ES256"} | header)),
        "payload": "",
        "signature": "",
        "header": unprotected,
    }
    (signature,) = parse_jws(compact_json(document), b"content").signatures
    assert isinstance(signature, ParsedSignature | UnreadableSignature)
