"""How verdict tests read: `expect(verdict, FAILED, "HASH_FAILURE")`."""

from signer.validation.reasons import Reason
from signer.validation.verdict import FileVerdict, Indication, SignatureVerdict

PASSED = Indication.PASSED
FAILED = Indication.FAILED
UNDECIDED = Indication.INDETERMINATE


def expect(verdict: FileVerdict, indication: Indication, sub_indication: str | None = None) -> None:
    """Assert a file's answer, showing the reasons when it differs."""
    reasons = [(f.reason, f.detail) for s in verdict.signatures for f in s.findings] or verdict.findings
    assert (verdict.indication, verdict.sub_indication) == (indication, sub_indication), reasons


def only(verdict: FileVerdict) -> SignatureVerdict:
    """Return the one signature of a file."""
    assert len(verdict.signatures) == 1
    return verdict.signatures[0]


def reasons(verdict: FileVerdict) -> set[Reason]:
    """Return the reasons of the one signature."""
    return {finding.reason for finding in only(verdict).findings}
