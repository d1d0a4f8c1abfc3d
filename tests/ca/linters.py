"""pkilint in process: every finding above NOTICE for a certificate, a CRL or an OCSP response."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pkilint import etsi, finding_filter, loader, pkix
from pkilint.etsi.etsi_constants import CertificateType
from pkilint.pkix import certificate, crl, extension, name, ocsp
from pkilint.validation import ValidationFindingSeverity

PERSON = CertificateType.NCP_NATURAL_PERSON_CERTIFICATE
CENTRE = CertificateType.NCP_LEGAL_PERSON_CERTIFICATE


def _above_notice(results: Any) -> list[str]:
    return [
        f"{description.finding.code}: {description.message}"
        for result in results
        for description in result.finding_descriptions
        if description.finding.severity < ValidationFindingSeverity.NOTICE  # FATAL is 0
    ]


@lru_cache(maxsize=1)
def _pkix_validator() -> Any:
    return certificate.create_pkix_certificate_validator_container(
        certificate.create_decoding_validators(name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS),
        [
            certificate.create_issuer_validator_container([]),
            certificate.create_validity_validator_container(),
            certificate.create_subject_validator_container([]),
            certificate.create_extensions_validator_container([]),
            certificate.create_spki_validator_container([]),
        ],
    )


def lint_certificate(der: bytes) -> list[str]:
    document = loader.RFC5280CertificateDocumentLoader().load_der_document(der, "certificate")
    return _above_notice(_pkix_validator().validate(document.root))


@lru_cache(maxsize=2)
def _etsi_validator(kind: CertificateType) -> Any:
    return certificate.create_pkix_certificate_validator_container(
        etsi.create_decoding_validators(kind), etsi.create_validators(kind)
    )


def lint_etsi(der: bytes, kind: CertificateType) -> list[str]:
    document = loader.RFC5280CertificateDocumentLoader().load_der_document(der, "certificate")
    results = _etsi_validator(kind).validate(document.root)
    results, _ = finding_filter.filter_results(etsi.create_etsi_finding_filters(kind), results)
    return _above_notice(results)


@lru_cache(maxsize=1)
def _crl_validator() -> Any:
    return crl.create_pkix_crl_validator_container(
        [
            pkix.create_attribute_decoder(name.ATTRIBUTE_TYPE_MAPPINGS),
            pkix.create_extension_decoder(extension.EXTENSION_MAPPINGS),
        ],
        [
            crl.create_issuer_validator_container([]),
            crl.create_validity_validator_container([]),
            crl.create_extensions_validator_container([]),
        ],
    )


def lint_crl(der: bytes) -> list[str]:
    document = loader.RFC5280CertificateListDocumentLoader().load_der_document(der, "crl")
    return _above_notice(_crl_validator().validate(document.root))


@lru_cache(maxsize=1)
def _ocsp_validator() -> Any:
    return ocsp.create_pkix_ocsp_response_validator_container(
        [
            ocsp.create_response_decoder(),
            pkix.create_attribute_decoder(name.ATTRIBUTE_TYPE_MAPPINGS),
            pkix.create_extension_decoder(extension.EXTENSION_MAPPINGS),
        ],
        [],
    )


def lint_ocsp(der: bytes) -> list[str]:
    document = loader.RFC6960OCSPResponseDocumentLoader().load_der_document(der, "response")
    return _above_notice(_ocsp_validator().validate(document.root))
