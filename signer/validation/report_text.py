"""A verdict in a few bilingual lines, for a terminal."""

import unicodedata
from typing import Final

from pki.messages import Message
from signer.validation.names import readable_name
from signer.validation.reasons import REASONS
from signer.validation.report import instant
from signer.validation.verdict import FileVerdict, Indication, SignatureVerdict

_MARKS: Final = {
    Indication.PASSED: "معتبر / valid",
    Indication.FAILED: "نامعتبر / not valid",
    Indication.INDETERMINATE: "نامعین / undecided",
}

OUTDATED: Final = Message("کهنه", "outdated")


def report_text(verdict: FileVerdict, name: str) -> str:
    """Write the short bilingual answer: one line for the file, a few for each signature."""
    code = f"{verdict.indication}/{verdict.sub_indication}" if verdict.sub_indication else verdict.indication
    lines = [f"{name}: {_MARKS[verdict.indication]} [{code}] {verdict.format or '-'}"]
    lines += [f"  {REASONS[f.reason].fa} | {REASONS[f.reason].en}" for f in verdict.findings]
    if verdict.bundle is not None:
        stamp, at = verdict.bundle, verdict.validated_at
        state = f"{OUTDATED.fa} | {OUTDATED.en}" if stamp.is_outdated(at) else f"→ {instant(stamp.next_update)}"
        lines.append(f"  trust {stamp.name} {stamp.sequence}, {instant(stamp.issued)}, {stamp.age(at).days} d, {state}")
    for signature in verdict.signatures:
        lines += _signature_lines(signature)
    lines += [f"  timestamp {instant(s.generated_at) or '-'} {s.indication}" for s in verdict.timestamps]
    return "\n".join(_printable(line) for line in lines)


def _signature_lines(verdict: SignatureVerdict) -> list[str]:
    certificate = verdict.signer.certificate if verdict.signer else None
    signer = readable_name(certificate.subject_der) if certificate else "-"
    time = instant(verdict.proven_at or verdict.claimed_at) or "-"
    grade = f"care={verdict.care} level={verdict.level or '-'} assurance={verdict.assurance}"
    lines = [
        f"  {verdict.id}: {verdict.indication} crypto={verdict.crypto} {grade}",
        f"    {signer}",
        f"    {time} ({verdict.time_proof})",
    ]
    for finding in verdict.findings:
        message = REASONS[finding.reason]
        lines.append(f"    - {message.fa} | {message.en} [{finding.reason}]")
    for counter in verdict.counter_signatures:
        lines += [f"  counter-signature:{line}" for line in _signature_lines(counter)]
    return lines


def _printable(text: str) -> str:
    """Replace control and direction characters: a stranger's name must not steer the terminal."""
    return "".join("\ufffd" if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c != "\u200c" else c for c in text)
