"""`sign.*`: our emitters with a software key, beside pyHanko, joserfc, cwt and one bare P-256 signature."""

import asyncio
import base64
import io
from typing import Any

from asn1crypto import keys as asn1_keys
from asn1crypto import x509 as asn1_x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cwt import COSE, COSEKey
from joserfc import jws
from joserfc.jwk import ECKey
from joserfc.jws import JWSRegistry
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import PdfSignatureMetadata, SimpleSigner, sign_pdf
from pyhanko.sign.fields import SigSeedSubFilter
from pyhanko_certvalidator.registry import SimpleCertificateStore

from signer.formats.cades import sign_cades
from signer.formats.cose import sign_cose
from signer.formats.jades import sign_jades
from signer.formats.pades import sign_pades
from signer.prescription_code import from_text
from webapp.bench.material import Material
from webapp.bench.measure import Figure, median_ms

_P256 = "one P-256 signature of 4 kB in memory"


def _bare() -> tuple[Any, ec.EllipticCurvePrivateKey]:
    private = ec.generate_private_key(ec.SECP256R1())
    content = b"\0" * 4096
    return (lambda: private.sign(content, ec.ECDSA(hashes.SHA256()))), private


def _pyhanko_signer(material: Material, private: ec.EllipticCurvePrivateKey) -> SimpleSigner:
    """Make the peer's signer. Its key is another P-256 key: pyHanko does not compare it with the certificate."""
    store = SimpleCertificateStore()  # type: ignore[no-untyped-call]  # the library leaves it untyped
    store.register(asn1_x509.Certificate.load(material.chain[1].der))
    key = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return SimpleSigner(
        signing_cert=asn1_x509.Certificate.load(material.chain[0].der),
        signing_key=asn1_keys.PrivateKeyInfo.load(key),
        cert_registry=store,
    )


def sign_figures(material: Material) -> tuple[Figure, ...]:
    """Measure CAdES-B, JAdES-B, PAdES-B-B and the prescription code."""
    bare, private = _bare()
    floor = median_ms(bare, runs=1000)
    return tuple(measure(material, private, floor) for measure in (_cades, _jades, _pades, _cose))


def _cades(material: Material, private: ec.EllipticCurvePrivateKey, floor: float) -> Figure:
    content = b"\0" * 4096
    peer = _pyhanko_signer(material, private)

    def peer_signs() -> None:
        asyncio.run(peer.async_sign_general_data(content, "sha256", use_cades=True, detached=True))

    return Figure(
        name="sign.cades_b",
        value=median_ms(lambda: sign_cades(content, material.key, material.chain, signed_at=material.at), runs=1000),
        unit="ms",
        peer="pyHanko async_sign_general_data(use_cades=True)",
        peer_value=median_ms(peer_signs, runs=60),
        floor=_P256,
        floor_value=floor,
        note="4 kB detached, P-256 software key, chain of two, own signature verified before it is returned",
    )


def _jades(material: Material, private: ec.EllipticCurvePrivateKey, floor: float) -> Figure:
    peer_key = ECKey.import_key(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    payload = material.prescription
    x5c = [base64.b64encode(certificate.der).decode() for certificate in material.chain]
    header = {"alg": "ES256", "typ": "jose+json", "cty": "application/fhir+json", "x5c": x5c}
    roomy = JWSRegistry()
    roomy.max_header_length = 64 * 1024

    def peer_signs() -> None:
        signed = jws.serialize_json({"protected": header}, payload, peer_key, registry=roomy)
        jws.deserialize_json(signed, peer_key, registry=roomy)

    return Figure(
        name="sign.jades_b",
        value=median_ms(lambda: sign_jades(payload, material.key, material.chain, signed_at=material.at), runs=1000),
        unit="ms",
        peer="joserfc serialize_json with x5c, then deserialize_json as the check (no JAdES headers)",
        peer_value=median_ms(peer_signs, runs=500),
        floor=_P256,
        floor_value=floor,
        note=f"FHIR Bundle of {len(payload)} bytes, x5c of two, own signature verified before it is returned",
    )


def _pades(material: Material, private: ec.EllipticCurvePrivateKey, floor: float) -> Figure:
    peer = _pyhanko_signer(material, private)
    metadata = PdfSignatureMetadata(field_name="Signature1", subfilter=SigSeedSubFilter.PADES, md_algorithm="sha256")

    def peer_signs() -> None:
        sign_pdf(IncrementalPdfFileWriter(io.BytesIO(material.pdf)), metadata, signer=peer)

    return Figure(
        name="sign.pades_b",
        value=median_ms(lambda: sign_pades(material.pdf, material.key, material.chain, signed_at=material.at)),
        unit="ms",
        peer="pyHanko sign_pdf (default reservation)",
        peer_value=median_ms(peer_signs, runs=60),
        floor=_P256,
        floor_value=floor,
        note=f"PDF of {len(material.pdf)} bytes, 16 KiB reserved, P-256 software key",
    )


def _cose(material: Material, private: ec.EllipticCurvePrivateKey, floor: float) -> Figure:
    text = sign_cose(material.prescription, material.key, material.chain, signed_at=material.at)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    payload = COSE.new().decode(
        from_text(text),
        COSEKey.from_pem(
            material.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), kid=b"kid"
        ),
    )
    peer_key = COSEKey.from_pem(pem, kid=b"kid")
    header: dict[int, Any] = {1: -7, 33: material.chain[0].der}

    def peer_signs() -> None:
        COSE.new().decode(COSE.new().encode_and_sign(payload, peer_key, protected=header), peer_key)

    return Figure(
        name="sign.cose",
        value=median_ms(
            lambda: sign_cose(material.prescription, material.key, material.chain, signed_at=material.at), runs=500
        ),
        unit="ms",
        peer="cwt encode_and_sign over claims that are there already, then decode as the check (no QR text)",
        peer_value=median_ms(peer_signs, runs=300),
        floor=_P256,
        floor_value=floor,
        note=f"FHIR Bundle of {len(material.prescription)} bytes read for its items, QR text of {len(text)} characters",
    )
