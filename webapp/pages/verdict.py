"""A verdict for people: from the JSON of `webapp.schemas` to one outcome word and what the page shows.

The JSON is the only source, so page and API cannot differ. Words are closed: valid, deferred, revoked, invalid;
a file without signature and one of unknown format have no word of their own but a sentence.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum, unique
from typing import Any, Final

from pydantic import ValidationError

from pki.errors import ErrorCode, VerificationFailed
from pki.identity_scheme import CodedRole, IdentityScheme
from signer.validation.content import UNUSABLE
from webapp.addresses import Language
from webapp.schemas import FileVerdict, Reason, Signature, StatusEvidence


@unique
class Outcome(StrEnum):
    """What a page says of a signature or a file, worst first."""

    BROKEN = "broken"
    REVOKED = "revoked"
    REFUSED = "refused"
    DEFERRED = "deferred"
    VALID = "valid"
    UNSIGNED = "unsigned"
    UNKNOWN_FORMAT = "unknown-format"


_REVOKED: Final = frozenset({"REVOKED", "REVOKED_NO_POE", "REVOKED_CA_NO_POE"})
_PERSON_ID: Final = re.compile(r"(?<!\d)\d{6,9}(\d{2})(?!\d)")  # digits of any script
_COMMON_NAME: Final = re.compile(r"(?:^|, )CN=(.*?)(?=, [A-Za-z0-9.]{1,40}=|$)")


def outcome_of(signature: Signature) -> Outcome:
    """Draw the one word for a signature from its `care`, indication and sub-indication.

    A failed signature is broken even where its own bytes are intact: a PDF may be changed around them.
    """
    if signature.care == "valid":
        return Outcome.VALID
    if signature.care == "deferred":
        return Outcome.DEFERRED
    if signature.sub_indication in _REVOKED:
        return Outcome.REVOKED
    failed = signature.indication == "TOTAL-FAILED" or signature.crypto == "broken"
    return Outcome.BROKEN if failed else Outcome.REFUSED


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
class StatusView:
    """What was known of one certificate's status, with its age at validation (None where there is no answer)."""

    holder: str
    status: str
    source: str
    as_of: datetime | None
    revoked_at: datetime | None
    age: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """One finding in the language of the page."""

    text: str
    code: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureView:
    """One signature as its card shows it, in one language."""

    signature: Signature
    outcome: str
    name: str
    subject: str
    issuer: str
    profession: str | None
    council_number: str | None
    changed_around: bool
    chain: tuple[str, ...]
    stamped_by: str | None
    statuses: tuple[StatusView, ...]
    remarks: tuple[Remark, ...]


def views_of(verdict: FileVerdict, language: Language, scheme: IdentityScheme) -> list[SignatureView]:
    """Prepare the cards of all signatures, in the order of the file."""
    return [_view(signature, verdict.validated_at, language, scheme) for signature in verdict.signatures]


def main_reason(verdict: FileVerdict, language: Language) -> str | None:
    """Return the sentence that decided about the file's worst signature, else about the file; None if all is well."""
    worst = outcome_of_file(verdict)
    if worst is Outcome.VALID:
        return None
    found = [r for one in verdict.signatures if outcome_of(one) is worst for r in _deciding(one)]
    return next((reason_text(reason, language) for reason in (*found, *verdict.reasons)), None)


def _deciding(signature: Signature) -> list[Reason]:
    """Return the reasons that made the verdict, those of its own sub-indication first."""
    deciding = [r for r in signature.reasons if r.indication is not None or r.code in UNUSABLE]
    return sorted(deciding, key=lambda reason: reason.sub_indication != signature.sub_indication)


def _view(signature: Signature, validated_at: datetime, language: Language, scheme: IdentityScheme) -> SignatureView:
    signer = signature.signer
    identity = signer.identity if signer else None
    slug = identity.profession if identity else None
    subject = masked(signer.subject) if signer else ""
    holders = {link.serial: display_name(link.subject) for link in signature.chain}
    return SignatureView(
        signature=signature,
        outcome=outcome_of(signature).value,
        name=display_name(subject) or signature.id,
        subject=subject,
        issuer=masked(signer.issuer or "") if signer else "",
        profession=None if slug is None else _profession_title(slug, language, scheme),
        council_number=identity.council_number if identity else None,
        changed_around=signature.crypto == "intact" and outcome_of(signature) is Outcome.BROKEN,
        chain=tuple(holders.values()),
        stamped_by=_stamping_authority(signature),
        statuses=tuple(_status(evidence, holders, validated_at) for evidence in signature.status),
        remarks=tuple(
            Remark(text=reason_text(reason, language), code=reason.code, detail=masked(reason.detail or ""))
            for reason in signature.reasons
        ),
    )


def _stamping_authority(signature: Signature) -> str | None:
    """Return the authority of the time-stamp that gave the best signature time."""
    stamps = (stamp for stamp in signature.timestamps if stamp.time == signature.best_signature_time)
    return next((display_name(stamp.authority) for stamp in stamps if stamp.authority), None)


def _status(evidence: StatusEvidence, holders: Mapping[str, str], validated_at: datetime) -> StatusView:
    return StatusView(
        holder=holders.get(evidence.serial, evidence.serial),
        status=evidence.status,
        source=evidence.source,
        as_of=evidence.as_of,
        revoked_at=evidence.revoked_at,
        age=None if evidence.as_of is None else validated_at - evidence.as_of,
    )


def reason_text(reason: Reason, language: Language) -> str:
    """Return a reason's sentence in the language of the page."""
    return reason.text_fa if language is Language.FA else reason.text_en


def masked(text: str) -> str:
    """Hide all but two digits of long numbers in a name: they may be national codes."""
    return _PERSON_ID.sub(lambda found: "•" * (len(found[0]) - 2) + found[1], text)


def _profession_title(slug: str, language: Language, scheme: IdentityScheme) -> str:
    """Return the title of a profession or a kind of centre; its own text where it is not one of the deployment's."""
    role: CodedRole | None = scheme.professions.get(slug) or scheme.institutions.get(slug)
    if role is None:
        return slug
    return role.title_fa if language is Language.FA else role.title_en


def display_name(subject: str) -> str:
    """Return the one common name of a subject, else all of it; for display alone, nothing is decided by it.

    A subject in which `CN=` appears twice may hold a second name inside another attribute: all of it is shown.
    """
    found = _COMMON_NAME.findall(subject)
    return masked(found[0] if len(found) == 1 else subject)
