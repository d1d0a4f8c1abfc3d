"""pkilint as a judge. Importing it costs a second and 100 MB: only the linter's own process and commands do so."""

import logging
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import version
from typing import Any, Final

from ca.lint.findings import Finding, Severity

PKIX: Final = "pkix"
CRASHED: Final = "lint-crashed"
_UNHANDLED: Final = "base.unhandled_exception"  # pkilint's own word for an exception inside one of its rules
_CLAUSE: Final = "pkilint"
_MAX_DETAIL: Final = 200
# Where a pilot's lists and responders are is its deployer's affair: `127.0.0.1` is in every certificate of a first try.
_OF_PILOTS: Final = frozenset({"etsi.internal_domain_name"})

_SEVERITIES: Final = {
    "FATAL": Severity.FATAL,
    "ERROR": Severity.ERROR,
    "WARNING": Severity.WARNING,
    "NOTICE": Severity.NOTICE,
}


@lru_cache(maxsize=16)
def _rules(linter: str) -> tuple[Any, Any]:
    """Build the validators of `pkix` or of an ETSI certificate type, and the filters of its findings; KeyError."""
    from pkilint import etsi
    from pkilint.etsi.etsi_constants import CertificateType
    from pkilint.pkix import certificate, extension, name

    # Its records of exceptions hold values of the certificate.
    logging.getLogger("pkilint").setLevel(logging.CRITICAL + 1)
    if linter != PKIX:
        kind = CertificateType[linter]
        container = certificate.create_pkix_certificate_validator_container(
            etsi.create_decoding_validators(kind), etsi.create_validators(kind)
        )
        return container, etsi.create_etsi_finding_filters(kind)
    container = certificate.create_pkix_certificate_validator_container(
        certificate.create_decoding_validators(name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS),
        [
            certificate.create_issuer_validator_container([]),
            certificate.create_validity_validator_container(),
            certificate.create_subject_validator_container([]),
            certificate.create_extensions_validator_container([]),
            certificate.create_spki_validator_container([]),
        ],
    )
    return container, []


def _apply(certificate_der: bytes, linter: str, *, pilot: bool) -> list[Finding]:
    from pkilint import finding_filter, loader

    rules, filters = _rules(linter)
    document = loader.RFC5280CertificateDocumentLoader().load_der_document(certificate_der, "certificate")
    results, _ = finding_filter.filter_results(filters, rules.validate(document.root))
    found = []
    for result in results:
        for description in result.finding_descriptions:
            severity = _SEVERITIES.get(description.finding.severity.name)
            if severity is None:
                continue
            code = description.finding.code
            # pkilint's message may quote the holder; where it looked says enough.
            found.append(
                Finding(
                    code=CRASHED if code == _UNHANDLED else f"pkilint.{code}",
                    clause=_CLAUSE,
                    severity=Severity.NOTICE if pilot and code in _OF_PILOTS else severity,
                    detail=str(result.node.path)[:_MAX_DETAIL],
                )
            )
    return found


class PkilintJudge:
    """Judges by pkilint's RFC 5280 rules (`pkix`) and by its ETSI certificate types, by their names there.

    `pilot`: the deployment may lie under a host name that is not public, which is then a NOTICE.
    """

    name = "pkilint"

    def __init__(self, *, pilot: bool = False) -> None:
        self.version = version("pkilint")
        self._pilot = pilot

    def judge(self, certificate_der: bytes, linters: Sequence[str]) -> tuple[Finding, ...]:
        """Apply the rule sets; an exception, wherever it comes from, is a finding and never a clean verdict."""
        found: list[Finding] = []
        for linter in linters or (PKIX,):
            try:
                found += _apply(certificate_der, linter, pilot=self._pilot)
            except Exception as error:  # noqa: BLE001 - a linter that breaks down must not pass for one that is content
                detail = f"{linter}: {type(error).__name__}"
                found.append(Finding(code=CRASHED, clause=_CLAUSE, severity=Severity.ERROR, detail=detail))
        return tuple(dict.fromkeys(found))
