"""`verify.*`: whole verdicts with a warm chain, beside joserfc, pyHanko and one bare verification."""

import asyncio
import logging
from pathlib import Path

from asn1crypto import cms as asn1_cms
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jws
from joserfc.jwk import ECKey
from pyhanko.sign.validation import async_validate_cms_signature

from pki.errors import ErrorCode, VerificationFailed
from signer.formats.cades import sign_cades
from signer.formats.jades import sign_jades
from signer.isolation.order import Order
from signer.rendering import render
from signer.validation.context import VerificationContext
from signer.validation.verify import verify_bytes
from webapp.bench.material import Material
from webapp.bench.measure import Figure, median_ms, per_second
from webapp.bench.verifying_pdf import pades_figures

_P256 = "one P-256 verification of 4 kB"
_BULK = 400


def _bare() -> float:
    private = ec.generate_private_key(ec.SECP256R1())
    content = b"\0" * 4096
    signature = private.sign(content, ec.ECDSA(hashes.SHA256()))
    public = private.public_key()
    return median_ms(lambda: public.verify(signature, content, ec.ECDSA(hashes.SHA256())), runs=1000)


def _context(material: Material) -> VerificationContext:
    return VerificationContext(at=material.at, anchors=(material.anchor,), intermediates=(material.chain[1],))


def _intact(data: bytes, context: VerificationContext) -> None:
    """Verify; VerificationFailed if the figure would be of something else than an intact signature."""
    verdict = verify_bytes(data, context)
    if any(str(signature.crypto) != "intact" for signature in verdict.signatures) or not verdict.signatures:
        raise VerificationFailed(ErrorCode.VERIFICATION_FAILED, "the bench's own file is not intact")


def verify_figures(material: Material, vectors: Path | None) -> tuple[Figure, ...]:
    """Measure JAdES-B, CAdES-B, an enveloping CMS prescription, PDF files and a folder of prescriptions."""
    floor = _bare()
    return (
        _jades(material, floor),
        _cades(material, floor),
        _cms(material, vectors, floor),
        *pades_figures(material, _P256, floor),
        _bulk(material, floor),
    )


def _jades(material: Material, floor: float) -> Figure:
    signed = sign_jades(material.prescription, material.key, material.chain, signed_at=material.at)
    context = _context(material)
    peer_key = ECKey.import_key(material.key.private_pem())
    peer = jws.serialize_json({"protected": {"alg": "ES256"}}, material.prescription, peer_key)
    path = [certificate.der for certificate in (*material.chain, material.anchor)]

    def peer_verifies() -> None:
        jws.deserialize_json(peer, peer_key)
        leaf, issuing, anchor = (x509.load_der_x509_certificate(certificate) for certificate in path)
        leaf.verify_directly_issued_by(issuing)
        issuing.verify_directly_issued_by(anchor)

    return Figure(
        name="verify.jades_b",
        value=median_ms(lambda: _intact(signed, context), runs=500),
        unit="ms",
        peer="joserfc deserialize_json, then two verify_directly_issued_by (no validity, policy or status)",
        peer_value=median_ms(peer_verifies, runs=500),
        floor=_P256,
        floor_value=floor,
        note=f"{len(signed)} bytes, path of three to an anchor, no status source, whole verdict; chain cached",
    )


def _cades(material: Material, floor: float) -> Figure:
    signed = sign_cades(material.prescription, material.key, material.chain, signed_at=material.at, detached=False)
    context = _context(material)
    return Figure(
        name="verify.cades_b",
        value=median_ms(lambda: _intact(signed, context), runs=500),
        unit="ms",
        peer="pyHanko async_validate_cms_signature",
        peer_value=_pyhanko_ms(signed),
        floor=_P256,
        floor_value=floor,
        note=f"{len(signed)} bytes, enveloping, path of three to an anchor, no status, whole verdict; chain cached",
    )


def _pyhanko_ms(data: bytes) -> float:
    def validate() -> None:
        content = asn1_cms.ContentInfo.load(data)["content"]
        asyncio.run(async_validate_cms_signature(content))

    logging.getLogger("pyhanko").setLevel(logging.CRITICAL)  # it reports the missing issuer with a traceback each time
    return median_ms(validate, runs=60)


def _bulk(material: Material, floor: float) -> Figure:
    """Judge and report a folder's worth of prescriptions, each of other content, as a worker of `mohr verify` does."""
    files = [
        sign_jades(
            material.prescription.replace(b"{", b"{" + b" " * number, 1),
            material.key,
            material.chain,
            signed_at=material.at,
        )
        for number in range(_BULK)
    ]
    context = _context(material)

    def judge_all() -> int:
        for number, data in enumerate(files):
            verdict = verify_bytes(data, context)
            render(verdict, Order(data=data, name=f"{number}.json"))
        return len(files)

    judge_all()
    return Figure(
        name="verify.bulk",
        value=per_second(judge_all),
        unit="1/s",
        peer=None,
        peer_value=None,
        floor="bare P-256 verifications of 4 kB, one after the other",
        floor_value=round(1000 / floor, 1),
        note=f"{_BULK} JAdES-B prescriptions of {len(files[0])} bytes, whole verdict and its JSON line, one process",
    )


def _cms(material: Material, vectors: Path | None, floor: float) -> Figure:
    data, what = _prescription(material, vectors)
    context = VerificationContext(at=material.at)
    return Figure(
        name="verify.cms_rx",
        value=median_ms(lambda: _intact(data, context), runs=500),
        unit="ms",
        peer="pyHanko async_validate_cms_signature",
        peer_value=_pyhanko_ms(data),
        floor=_P256,
        floor_value=floor,
        note=f"{what}, {len(data)} bytes, enveloping, no anchor; whole verdict",
    )


def _prescription(material: Material, vectors: Path | None) -> tuple[bytes, str]:
    files = [] if vectors is None else sorted((vectors / "cms-prescriptions").glob("*.p7m"))
    if files:
        return files[0].read_bytes(), "real prescription, brainpoolP256r1, BER"
    signed = sign_cades(material.prescription, material.key, material.chain, signed_at=material.at, detached=False)
    return signed, "own CAdES-B, P-256"
