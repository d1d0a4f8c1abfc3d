"""A verdict for people: from the JSON of `webapp.schemas` to one outcome word and what the page shows.

The JSON is the only source, so page and API cannot differ. Words are closed: valid, deferred, revoked, invalid;
a file without signature and one of unknown format have no word of their own but a sentence.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Any, Final

from pydantic import ValidationError

from pki.errors import ErrorCode, VerificationFailed
from pki.identity import Profession
from webapp.addresses import Language
from webapp.schemas import FileVerdict, Reason, Signature


@unique
class Outcome(StrEnum):
    """What a page says of a signature or a file, worst first."""

    REVOKED = "revoked"
    BROKEN = "broken"
    REFUSED = "refused"
    DEFERRED = "deferred"
    VALID = "valid"
    UNSIGNED = "unsigned"
    UNKNOWN_FORMAT = "unknown-format"


_REVOKED: Final = frozenset({"REVOKED", "REVOKED_NO_POE", "REVOKED_CA_NO_POE"})
_PERSON_ID: Final = re.compile(r"(?<!\d)\d{6,9}(\d{2})(?!\d)")  # digits of any script
_COMMON_NAME: Final = re.compile(r"(?:^|, )CN=([^=]*?)(?:, [A-Za-z0-9.]+=|$)")
_PROFESSIONS: Final = {profession.slug: profession for profession in Profession}


def outcome_of(signature: Signature) -> Outcome:
    """Draw the one word for a signature from its `care`, cryptography and sub-indication."""
    if signature.care == "valid":
        return Outcome.VALID
    if signature.care == "deferred":
        return Outcome.DEFERRED
    if signature.sub_indication in _REVOKED:
        return Outcome.REVOKED
    return Outcome.BROKEN if signature.crypto == "broken" else Outcome.REFUSED


def outcome_of_file(verdict: FileVerdict) -> Outcome:
    """Draw the file's word: its worst signature's, else what the indication says of a file without one."""
    found = {outcome_of(signature) for signature in verdict.signatures}
    worst = next((outcome for outcome in Outcome if outcome in found), None)
    if worst is not None:
        return worst
    if verdict.indication == "TOTAL-FAILED":
        return Outcome.BROKEN
    if verdict.indication == "TOTAL-PASSED":
        return Outcome.VALID
    if verdict.format is None:
        return Outcome.UNKNOWN_FORMAT
    return Outcome.REFUSED if verdict.timestamps else Outcome.UNSIGNED


def read_verdict(members: Mapping[str, Any]) -> FileVerdict:
    """Read a verdict's JSON members; VerificationFailed when the verifier broke its own contract."""
    try:
        return FileVerdict.model_validate(members)
    except ValidationError as error:
        raise VerificationFailed(ErrorCode.INTERNAL, "the verdict does not follow its contract") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureView:
    """One signature as its card shows it, in one language."""

    signature: Signature
    outcome: str
    name: str
    subject: str
    profession: str | None
    council_number: str | None
    reasons: tuple[tuple[str, str], ...]
    chain: tuple[str, ...]


def views_of(verdict: FileVerdict, language: Language) -> list[SignatureView]:
    """Prepare the cards of all signatures, in the order of the file."""
    return [_view(signature, language) for signature in verdict.signatures]


def _view(signature: Signature, language: Language) -> SignatureView:
    signer = signature.signer
    identity = signer.identity if signer else None
    subject = masked(signer.subject) if signer else ""
    return SignatureView(
        signature=signature,
        outcome=outcome_of(signature).value,
        name=_common_name(subject) or subject or signature.id,
        subject=subject,
        profession=profession_title(identity.profession, language) if identity and identity.profession else None,
        council_number=identity.council_number if identity else None,
        reasons=tuple((reason_text(reason, language), reason.code) for reason in signature.reasons),
        chain=tuple(masked(link.subject) for link in signature.chain),
    )


def main_reason(verdict: FileVerdict, language: Language) -> str | None:
    """Return the first reason of the file's worst signature, else the file's own; None when all is well."""
    worst = outcome_of_file(verdict)
    if worst is Outcome.VALID:
        return None
    reasons = [r for signature in verdict.signatures if outcome_of(signature) is worst for r in signature.reasons]
    return next((reason_text(reason, language) for reason in (*reasons, *verdict.reasons)), None)


def reason_text(reason: Reason, language: Language) -> str:
    """Return a reason's sentence in the language of the page."""
    return reason.text_fa if language is Language.FA else reason.text_en


def masked(text: str) -> str:
    """Hide all but two digits of long numbers in a name: they may be national codes."""
    return _PERSON_ID.sub(lambda found: "•" * (len(found[0]) - 2) + found[1], text)


def profession_title(slug: str, language: Language) -> str:
    """Return a profession's title; its own name where it is not one of ours."""
    known = _PROFESSIONS.get(slug)
    if known is None:
        return slug
    return known.title_fa if language is Language.FA else known.title_en


def _common_name(subject: str) -> str:
    """Return what follows `CN=` in a subject; for display alone, nothing is decided by it."""
    found = _COMMON_NAME.search(subject)
    return found[1] if found else ""
