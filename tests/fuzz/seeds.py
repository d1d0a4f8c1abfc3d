"""Good files to begin from, made on the fly, and real ones of other implementations where they are at hand."""

import zipfile
from base64 import b64encode
from collections.abc import Iterator, Mapping
from datetime import timedelta
from enum import StrEnum, unique
from functools import cache
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Final
from unittest.mock import patch

from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from ca.status.ocsp import error_response
from hsm.soft import UnsafeSoftKey
from pki import der
from pki.csr import build_csr
from pki.jose import b64url, compact_json, json_object
from pki.jwks import Jwk
from pki.keys import SignatureAlgorithm
from pki.notes import sign_note
from pki.oids import OidArc
from pki.pkcs7 import certs_only, encode_body
from signer.formats import cades, jades
from signer.formats.cose import sign_cose
from signer.formats.pades import sign_pades
from signer.isolation.order import Order
from signer.prescription_code import from_text
from signer.samples import sample_pdf, sample_prescription
from signer.timestamps.authority import TimestampAuthority
from signer.timestamps.messages import build_request
from signer.trust.bundle import BundleAnchor, TrustBundle
from signer.trust.signed import KeptBundle, read_bundle
from signer.trust.signing import sign_bundle
from signer.validation import ocsp
from tests.support.clock import FakeClock
from tests.support.cose_forge import KID, X5CHAIN, CoseForge
from tests.support.forge import CmsForge, JwsForge, attribute
from tests.support.long_term import Cades, CadesLists, CadesSecond, Jades, Pades, Values
from tests.support.ocsp_forge import ocsp_answer
from tests.support.pdf import form_pdf, hybrid_pdf, page_pdf
from tests.support.pki import NOW, new_key
from tests.support.zoo import SIGNED_AT, Zoo, make_zoo

CONTENT: Final = b'{"resourceType":"Bundle","type":"document","dose":1.50}'
MAX_SEED_OCTETS: Final = 64 * 1024
_VECTORS: Final = Path(__file__).resolve().parents[3] / "shared" / "vectors"


@unique
class Kind(StrEnum):
    """What a file is built of: says how to change it so that it stays well-formed."""

    DER = "der"
    JSON = "json"
    ZIP = "zip"
    PDF = "pdf"
    RAW = "raw"


@cache
def world() -> Zoo:
    """Make the certificates that all good files share, always of the same keys, so that a finding stays one."""
    numbers = count(1)

    def next_key(_algorithm: SignatureAlgorithm = SignatureAlgorithm.ES256) -> UnsafeSoftKey:
        return UnsafeSoftKey(ec.derive_private_key(next(numbers), ec.SECP256R1()), SignatureAlgorithm.ES256)

    with patch("tests.support.pki.new_key", next_key):
        return make_zoo()


@cache
def good_files() -> Mapping[Kind, tuple[bytes, ...]]:
    """Make the good files, by kind."""
    zoo = world()
    found: dict[Kind, list[bytes]] = {kind: [] for kind in Kind}
    found[Kind.DER] += _der_files(zoo)
    found[Kind.JSON] += _json_files(zoo)
    found[Kind.ZIP] += _containers(zoo)
    found[Kind.PDF] += _pdf_files(zoo)
    found[Kind.RAW] += (
        encode_body(zoo.clinician.certificate.der),
        zoo.root.pem.encode(),
        b"".join(_as_message(Order(data=b"%PDF-1.7", name="a", content=b"c", at=NOW).parts())),
        _manifest(),
        _note(),
        _xml(),
        *_codes(zoo),
    )
    for data in _long_term(zoo):
        found[kind_of(data)].append(data)
    for data in _vectors():
        found[kind_of(data)].append(data)
    return {kind: tuple(files) for kind, files in found.items()}


def kind_of(data: bytes) -> Kind:
    """Tell what a file is built of by its opening."""
    if data[:1] == b"\x30":
        return Kind.DER
    if data[:1] in (b"{", b"["):
        return Kind.JSON
    if data[:4] == b"PK\x03\x04":
        return Kind.ZIP
    if b"%PDF-" in data[:1024]:
        return Kind.PDF
    return Kind.RAW


def _der_files(zoo: Zoo) -> Iterator[bytes]:
    clinician, stamper = zoo.clinician, zoo.stamper(SIGNED_AT)
    signed = cades.sign_cades(CONTENT, clinician.key, clinician.chain, signed_at=SIGNED_AT, detached=False)
    yield signed
    yield cades.add_signature_timestamp(signed, stamper)
    yield cades.sign_cades(CONTENT, clinician.key, clinician.chain, signed_at=SIGNED_AT)
    yield CmsForge(content=CONTENT, holder=clinician, signers=3).build()
    inner = CmsForge(content=b"value", holder=clinician).signer_info()
    yield CmsForge(content=CONTENT, holder=clinician, unsigned=(attribute("1.2.840.113549.1.9.6", inner),)).build()
    authority = TimestampAuthority(
        zoo.tsa.key, zoo.tsa.chain, OidArc().timestamp_policy, timedelta(seconds=1), FakeClock(SIGNED_AT)
    )
    asked = build_request(bytes(32), 7)
    yield asked
    yield authority.respond(asked)
    yield stamper.stamp(bytes(32))
    for certificate in (zoo.root, zoo.intermediate, clinician, zoo.tsa):
        yield certificate.certificate.der
    yield build_csr(new_key(), "Synthetic person", challenge="secret")
    yield zoo.root.crl()
    yield zoo.intermediate.crl(dict.fromkeys(range(1, 20), SIGNED_AT), invalid_since=SIGNED_AT)
    yield ocsp_answer(zoo.intermediate, clinician)
    yield ocsp_answer(zoo.intermediate, clinician, responder=zoo.intermediate.ocsp_responder(), revoked_at=SIGNED_AT)
    yield error_response(1)  # type: ignore[arg-type]  # any of the standard's numbers
    yield ocsp.build_request(clinician.certificate, zoo.intermediate.certificate)
    yield certs_only(c.der for c in clinician.chain)
    yield clinician.certificate.subject_der
    yield der.sequence(der.oid("2.999.1"), der.context(0, der.utf8("سلام")), der.null())


def _json_files(zoo: Zoo) -> Iterator[bytes]:
    clinician = zoo.clinician
    signed = jades.sign_jades(CONTENT, clinician.key, clinician.chain, signed_at=SIGNED_AT)
    yield signed
    yield jades.add_signature_timestamp(signed, zoo.stamper(SIGNED_AT))
    forge = JwsForge(payload=CONTENT, holder=clinician)
    yield forge.compact()
    yield forge.flattened(header={"kid": "1", "etsiU": [b64url(b'{"sigTst":{}}')]})
    one = json_object(forge.flattened())
    payload = one.pop("payload")
    yield compact_json({"payload": payload, "signatures": [one, {**one, "header": {"etsiU": []}}]})
    detached = {"mId": "http://uri.etsi.org/19182/ObjectIdByURIHash", "pars": ["a"], "hashM": "S256", "hashV": ["AA"]}
    yield JwsForge(payload=b"", holder=clinician, header={"sigD": detached, "crit": ["sigD"]}).flattened()
    yield compact_json({"keys": [Jwk.of(one.key.public_key()).members() for one in (clinician, zoo.tsa)]})
    yield b'{"name":"own","base":"default"}'
    trusted = BundleAnchor(certificate=zoo.root.certificate)
    bundle = TrustBundle(name="pilot", sequence=7, issued=NOW, next_update=NOW + timedelta(days=9), anchors=(trusted,))
    yield bundle.payload()
    signed_bundle = sign_bundle(bundle, clinician.key, clinician.chain)
    yield signed_bundle
    yield KeptBundle(signed=read_bundle(signed_bundle, NOW), accepted=NOW).octets()


def _containers(zoo: Zoo) -> Iterator[bytes]:
    holder = zoo.clinician
    about = _manifest()
    over_file = cades.sign_cades(b"a scan", holder.key, holder.chain, signed_at=SIGNED_AT)
    over_manifest = cades.sign_cades(about, holder.key, holder.chain, signed_at=SIGNED_AT)
    simple = {"mimetype": b"application/vnd.etsi.asic-s+zip", "scan.txt": b"a scan"}
    yield packed({**simple, "META-INF/signature.p7s": over_file})
    yield packed({**simple, "META-INF/timestamp.tst": zoo.stamper(SIGNED_AT).stamp(bytes(32))})
    extended = {
        "mimetype": b"application/vnd.etsi.asic-e+zip",
        "scan.txt": b"a scan",
        "META-INF/ASiCManifest001.xml": about,
        "META-INF/signature001.p7s": over_manifest,
    }
    yield packed(extended)
    yield packed({**extended, "META-INF/signatures1.xml": b"<a/>", "other/file.json": b"{}"})


def _manifest() -> bytes:
    return (
        b'<ASiCManifest xmlns="http://uri.etsi.org/02918/v1.2.1#" xmlns:ds="http://www.w3.org/2000/09/xmldsig#">'
        b'<SigReference URI="META-INF/signature001.p7s"/><DataObjectReference URI="scan.txt">'
        b'<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/>'
        b"<ds:DigestValue>n5Fd0E0FsOPeXtFThNz8QYFh6fH3bWA8Zm2xB5V1dQg=</ds:DigestValue></DataObjectReference>"
        b"</ASiCManifest>"
    )


def _xml() -> bytes:
    return (
        b'<?xml version="1.0"?><ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo>'
        b'<ds:Reference URI=""/></ds:SignedInfo><ds:SignatureValue>AA==</ds:SignatureValue></ds:Signature>'
    )


def _long_term(zoo: Zoo) -> Iterator[bytes]:
    """Make each format with a signature time-stamp, certificates, lists, OCSP, and an archive time-stamp over all."""
    holder = zoo.clinician
    values = Values(
        certificates=(zoo.intermediate.certificate, zoo.root.certificate),
        crls=(zoo.root.crl(),),
        responses=(ocsp_answer(zoo.intermediate, holder),),
    )
    for form in (Cades(), CadesLists(), CadesSecond(), Jades(), Jades(clear=True), Pades(), Pades(only_vri=True)):
        stamped = form.with_values(form.signed(holder, SIGNED_AT, zoo.stamper(SIGNED_AT)), values)
        yield form.archived(stamped, zoo.tsa, SIGNED_AT)


def _codes(zoo: Zoo) -> Iterator[bytes]:
    text = sign_cose(sample_prescription(), zoo.clinician.key, zoo.clinician.chain, signed_at=NOW)
    yield text
    yield from_text(text)
    named = CoseForge(holder=zoo.clinician, protected={X5CHAIN: None}, unprotected={KID: bytes(8)})
    yield named.text()
    yield CoseForge(holder=zoo.clinician, tagged=lambda parts: b"\xd8\x3d\xd2" + parts).text()


def _note() -> bytes:
    key = UnsafeSoftKey(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)))
    return sign_note(f"log.example\n1\n{b64encode(bytes(32)).decode()}\n", "log.example", key).encode()


def packed(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Write a ZIP whose first file is stored."""
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w") as container:
        for at, (name, data) in enumerate(files.items()):
            entry = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
            container.writestr(entry, data, method if at else zipfile.ZIP_STORED)
    return stream.getvalue()


def _pdf_files(zoo: Zoo) -> Iterator[bytes]:
    holder = zoo.clinician
    once = sign_pades(sample_pdf(), holder.key, holder.chain, signed_at=SIGNED_AT)
    yield once
    yield sign_pades(once, holder.key, holder.chain, signed_at=SIGNED_AT)
    yield sign_pades(form_pdf(), holder.key, holder.chain, signed_at=SIGNED_AT)
    yield hybrid_pdf()
    yield page_pdf(catalogue="/Outlines 5 0 R")


def _as_message(parts: tuple[bytes, ...]) -> Iterator[bytes]:
    yield len(parts).to_bytes(4, "big")
    yield from (len(part).to_bytes(4, "big") for part in parts)
    yield from parts


def _vectors() -> Iterator[bytes]:
    if not _VECTORS.is_dir():
        return
    for folder in ("asic", "cades", "jades", "pades", "status-list"):
        for path in sorted((_VECTORS / folder).rglob("*")):
            if path.is_file() and path.stat().st_size <= MAX_SEED_OCTETS:
                yield path.read_bytes()
