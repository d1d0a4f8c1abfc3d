"""The lint gate: all packs over one twin."""

from hashlib import sha256
from typing import Final

from ca.config import AuthoritySettings
from ca.errors import LintFailed
from ca.lint import en319412, house, rfc5280
from ca.lint.findings import GATE, Finding, Rule
from ca.lint.subject import LintedCertificate
from ca.tbs import CertificateContent

RULES: Final[tuple[Rule[LintedCertificate], ...]] = (
    *rfc5280.PACK.rules,
    *en319412.PACK.rules,
    *house.PACK.rules,
)

PACK_NAME: Final = "mohr"
PACK_VERSION: Final = sha256(" ".join(f"{rule.code}:{rule.severity}" for rule in RULES).encode()).hexdigest()[:12]


def lint(subject: LintedCertificate) -> tuple[Finding, ...]:
    """Apply every rule; the findings come in the order of the rules."""
    return tuple(rule.finding(detail) for rule in RULES if (detail := rule.check(subject)) is not None)


def check_twin(twin_der: bytes, content: CertificateContent, settings: AuthoritySettings) -> tuple[Finding, ...]:
    """Lint a twin; LintFailed for a finding of ERROR or above, else the milder findings."""
    findings = lint(LintedCertificate(twin_der, content, settings))
    if any(finding.severity >= GATE for finding in findings):
        raise LintFailed(findings)
    return findings
