"""`verify.pades_b` and `verify.pades_lta`: whole verdicts on signed PDF files with a warm chain, beside pyHanko."""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from io import BytesIO
from typing import Any, Final

from asn1crypto import cms as asn1_cms
from asn1crypto import crl as asn1_crl
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.signers.pdf_signer import PdfTimeStamper
from pyhanko.sign.timestamps import TimeStamper
from pyhanko.sign.validation import validate_pdf_signature
from pyhanko.sign.validation.ades import ades_lta_validation
from pyhanko.sign.validation.dss import DocumentSecurityStore
from pyhanko.sign.validation.policy_decl import (
    PdfSignatureValidationSpec,
    RevinfoOnlineFetchingRule,
    RevocationInfoGatheringSpec,
    SignatureValidationSpec,
)
from pyhanko_certvalidator import ValidationContext
from pyhanko_certvalidator.context import CertValidationPolicySpec
from pyhanko_certvalidator.policy_decl import REQUIRE_REVINFO, CertRevTrustPolicy
from pyhanko_certvalidator.registry import SimpleTrustManager

from hsm.soft import UnsafeSoftKey
from pki.builder_keys import builder_key
from pki.certificates import Certificate
from pki.errors import ErrorCode, VerificationFailed
from pki.keys import SignatureAlgorithm
from signer.formats.pades import sign_pades
from signer.timestamps.authority import TimestampAuthority
from signer.timestamps.client import LocalTimeStamper
from signer.validation.context import VerificationContext
from signer.validation.verify import verify_bytes
from webapp.bench.material import Material, certificate_of
from webapp.bench.measure import Figure, median_ms
from webapp.compose import RealClock

_STAMP_POLICY: Final = "1.3.6.1.4.1.32473.1.9"
_DAY: Final = timedelta(days=1)


class _Stamper(TimeStamper):
    """What pyHanko asks for a document time-stamp."""

    def __init__(self, local: LocalTimeStamper) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped upstream
        self._local = local

    async def async_timestamp(self, message_digest: bytes, _md_algorithm: str) -> Any:
        return asn1_cms.ContentInfo.load(self._local.stamp(message_digest))


def _empty_list(issuer: Certificate, key: UnsafeSoftKey, material: Material) -> bytes:
    """Make a list of the bench's own on which nobody stands."""
    built = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(x509.load_der_x509_certificate(issuer.der).subject)
        .last_update(material.at - timedelta(minutes=1))
        .next_update(material.at + _DAY)
        .add_extension(x509.CRLNumber(1), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(builder_key(key), hashes.SHA256())
    )
    return built.public_bytes(Encoding.DER)


def _archived(material: Material) -> tuple[bytes, Certificate]:
    """Sign, stamp, embed what proves the chains, and stamp the document: B-LTA (EN 319 142-1 §6.3), and its anchor."""
    root, holder, authority = (UnsafeSoftKey.generate(SignatureAlgorithm.ES256) for _ in range(3))
    anchor = certificate_of("Bench archive root", "Bench archive root", root.public_key(), root, material.at, ca=True)
    signer = certificate_of("Bench signer", "Bench archive root", holder.public_key(), root, material.at, ca=False)
    tsa = certificate_of(
        "Bench TSA",
        "Bench archive root",
        authority.public_key(),
        root,
        material.at,
        ca=False,
        extended=ExtendedKeyUsageOID.TIME_STAMPING,
    )
    stamps = TimestampAuthority(authority, (tsa, anchor), _STAMP_POLICY, timedelta(seconds=1), RealClock())
    stamper = LocalTimeStamper(stamps)
    signed = sign_pades(material.pdf, holder, (signer, anchor), signed_at=material.at, stamper=stamper)
    stream = BytesIO(signed)
    DocumentSecurityStore.add_dss(
        stream,
        None,
        certs=[asn1_x509.Certificate.load(one.der) for one in (signer, tsa, anchor)],
        crls=[asn1_crl.CertificateList.load(_empty_list(anchor, root, material))],
        force_write=True,
    )
    writer = IncrementalPdfFileWriter(BytesIO(stream.getvalue()))
    output = PdfTimeStamper(_Stamper(stamper)).timestamp_pdf(writer, "sha256", bytes_reserved=8192)
    return bytes(output.getvalue()), anchor


def _passed(data: bytes, context: VerificationContext, level: str) -> None:
    """Verify; VerificationFailed if the figure would be of something else than an intact signature of that level."""
    (signature, *_) = verify_bytes(data, context).signatures
    if str(signature.crypto) != "intact" or signature.level != level:
        raise VerificationFailed(ErrorCode.VERIFICATION_FAILED, f"{signature.crypto}, {signature.level}")


def _peer_ms(validate: Callable[[PdfFileReader], object], data: bytes) -> float:
    logging.getLogger("pyhanko").setLevel(logging.CRITICAL)
    return median_ms(lambda: validate(PdfFileReader(BytesIO(data))), runs=20)


def _peer_policy(anchor: Certificate) -> PdfSignatureValidationSpec:
    trusted = SimpleTrustManager.build(trust_roots=[asn1_x509.Certificate.load(anchor.der)])
    revocation = CertRevTrustPolicy(revocation_checking_policy=REQUIRE_REVINFO)
    return PdfSignatureValidationSpec(
        SignatureValidationSpec(
            cert_validation_policy=CertValidationPolicySpec(trust_manager=trusted, revinfo_policy=revocation),
            revinfo_gathering_policy=RevocationInfoGatheringSpec(RevinfoOnlineFetchingRule.LOCAL_ONLY),
        )
    )


def pades_figures(material: Material, floor: str, floor_ms: float) -> tuple[Figure, ...]:
    """Measure a signed page without time-stamps, and one with all that the archive needs."""
    basic = sign_pades(material.pdf, material.key, material.chain, signed_at=material.at)
    plain = VerificationContext(at=material.at, anchors=(material.anchor,), intermediates=(material.chain[1],))
    archived, anchor = _archived(material)
    later = VerificationContext(at=material.at + timedelta(minutes=1), anchors=(anchor,))
    roots = [asn1_x509.Certificate.load(material.anchor.der)]
    lasting = _peer_policy(anchor)

    def peer_basic(reader: PdfFileReader) -> object:
        context = ValidationContext(trust_roots=roots, allow_fetching=False)
        return validate_pdf_signature(reader.embedded_regular_signatures[0], context)

    def peer_archived(reader: PdfFileReader) -> object:
        signature = reader.embedded_regular_signatures[0]
        return asyncio.run(ades_lta_validation(signature, lasting))

    return (
        Figure(
            name="verify.pades_b",
            value=median_ms(lambda: _passed(basic, plain, "B-B"), runs=200),
            unit="ms",
            peer="pyHanko validate_pdf_signature",
            peer_value=_peer_ms(peer_basic, basic),
            floor=floor,
            floor_value=floor_ms,
            note=f"{len(basic)} bytes, one page, path of three to an anchor, no status, whole verdict; chain cached",
        ),
        Figure(
            name="verify.pades_lta",
            value=median_ms(lambda: _passed(archived, later, "B-LTA"), runs=100),
            unit="ms",
            peer="pyHanko ades_lta_validation",
            peer_value=_peer_ms(peer_archived, archived),
            floor=floor,
            floor_value=floor_ms,
            note=f"{len(archived)} bytes, signature time-stamp, store with a list, document time-stamp; whole verdict",
        ),
    )
