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
from signer.validation.context import VerificationContext
from signer.validation.verify import verify_bytes
from webapp.bench.material import Material
from webapp.bench.measure import Figure, median_ms

_P256 = "one P-256 verification of 4 kB"


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
    """Measure JAdES-B and an enveloping CMS prescription."""
    floor = _bare()
    return (_jades(material, floor), _cms(material, vectors, floor))


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


def _cms(material: Material, vectors: Path | None, floor: float) -> Figure:
    data, what = _prescription(material, vectors)
    context = VerificationContext(at=material.at)

    def peer_validates() -> None:
        content = asn1_cms.ContentInfo.load(data)["content"]
        asyncio.run(async_validate_cms_signature(content))

    logging.getLogger("pyhanko").setLevel(logging.CRITICAL)  # it reports the missing issuer with a traceback each time
    return Figure(
        name="verify.cms_rx",
        value=median_ms(lambda: _intact(data, context), runs=500),
        unit="ms",
        peer="pyHanko async_validate_cms_signature",
        peer_value=median_ms(peer_validates, runs=60),
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
