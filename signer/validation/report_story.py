"""A verdict told to people in one language: what was signed, by whom, with which authority, when, its worth and why.

Words of strangers stand in spans of their own and steer nothing. The same verdict gives the same page.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from pki.certificates import Certificate
from pki.identity_scheme import CodedRole
from pki.messages import Message
from signer.parsers.model import UNREADABLE, ContentClaims
from signer.validation.names import common_name, readable_name, visible
from signer.validation.reasons import REASONS
from signer.validation.report import ReportedFile
from signer.validation.report_blocks import BLOCKS
from signer.validation.report_checks import (
    Check,
    Group,
    file_checks,
    part_of,
    process_of,
    signature_checks,
    timestamp_checks,
)
from signer.validation.report_page import (
    Banner,
    Fold,
    Heading,
    Language,
    Line,
    Page,
    Paragraph,
    Part,
    Row,
    Rows,
    Span,
    Way,
)
from signer.validation.report_words import (
    LEVELS,
    MEANINGS,
    METHOD,
    OUTCOMES,
    RULES,
    STATUSES,
    WORDS,
    WORTH,
    number,
    say,
    when,
)
from signer.validation.verdict import (
    FileVerdict,
    Finding,
    Indication,
    KnownStatus,
    SignatureVerdict,
    SignerIdentity,
    SubIndication,
    TimestampVerdict,
)

MAX_SHOWN_ITEMS: Final = 100
"""How many signed things, time-stamps or signatures are told each; all are in the report for programs."""
MAX_SHOWN_TREES: Final = 8
"""Of how many time-stamps in a signature every check is told."""

TITLE: Final = Message("گزارش راستی‌آزمایی امضا", "Signature verification report")
_NOT_REACHED: Final = Message("بررسی نشد", "not reached")


def tell(verdict: FileVerdict, file: ReportedFile, language: Language) -> Page:
    """Tell a verdict in one language."""
    teller = _Teller(verdict, file, language)
    return Page(language=language, parts=teller.parts())


class _Teller:
    def __init__(self, verdict: FileVerdict, file: ReportedFile, language: Language) -> None:
        self._verdict, self._file, self._language = verdict, file, language

    def parts(self) -> Iterator[Part]:
        """Tell of the file, of each signature and time-stamp, and how to read this."""
        verdict = self._verdict
        yield self._heading(1, TITLE)
        yield self._banner(verdict.indication, verdict.sub_indication)
        yield self._file_rows()
        yield from self._reasons(verdict.findings)
        for index, signature in enumerate(verdict.signatures[:MAX_SHOWN_ITEMS], start=1):
            count = number(index, self._language)
            yield self._heading(2, Message(f"امضای {count}", f"Signature {count}"))
            yield from self._signature(signature)
        for stamp in verdict.timestamps[:MAX_SHOWN_ITEMS]:
            yield self._heading(2, Message("مهر زمانی سند", "Document time-stamp"), stamp.id)
            yield Rows(tuple(self._stamp_rows(stamp)))
            yield from self._reasons(stamp.findings)
            yield self._fold(Message("همهٔ بررسی‌ها", "Every check"), [timestamp_checks(stamp, verdict.policy)])
        yield self._fold(Message("بررسی‌های فایل", "Checks of the file"), file_checks(verdict))
        yield from self._how_to_read()

    # -- the file ----------------------------------------------------------------------------------

    def _file_rows(self) -> Rows:
        verdict, file = self._verdict, self._file
        online = Message("پرسیده شد", "was asked") if not verdict.offline else Message("پرسیده نشد", "was not asked")
        return Rows(
            (
                self._row(Message("فایل", "File"), (Span(visible(file.name), Way.STRANGER),)),
                self._row(Message("اثر انگشت SHA-256", "SHA-256 fingerprint"), _code(file.sha256)),
                self._row(
                    Message("اندازه", "Size"),
                    (
                        Span(
                            say(Message(f"{number(file.size, Language.FA)} بایت", f"{file.size} bytes"), self._language)
                        ),
                    ),
                ),
                self._row(Message("قالب", "Format"), _code(verdict.format or "—")),
                self._row(Message("زمان بررسی", "Validated at"), when(verdict.validated_at, self._language)),
                self._row(Message("سیاست اعتبارسنجی", "Validation policy"), _code(verdict.policy.name)),
                *self._bundle_rows(),
                self._row(Message("شبکه برای وضعیت گواهی", "The network, for status"), (self._span(online),)),
            )
        )

    def _bundle_rows(self) -> Iterator[Row]:
        stamp, at = self._verdict.bundle, self._verdict.validated_at
        if stamp is None:
            return
        days = stamp.age(at).days
        age = Message(f"{number(days, Language.FA)} روزه", f"{days} days old")
        outdated = Message("، کهنه: بستهٔ تازه بگیرید", ", outdated: get a newer one")
        words = say(age, self._language) + (say(outdated, self._language) if stamp.is_outdated(at) else "")
        yield self._row(
            Message("بستهٔ اعتماد", "Trust bundle"),
            _code(f"{stamp.name} {stamp.sequence}"),
            (Span(words, strong=stamp.is_outdated(at)),),
            when(stamp.issued, self._language),
            _code(stamp.sha256),
        )

    # -- one signature -----------------------------------------------------------------------------

    def _signature(self, verdict: SignatureVerdict, level: int = 3) -> Iterator[Part]:
        yield self._banner(verdict.indication, verdict.sub_indication, self._who_and_when(verdict))
        yield self._heading(level, Message("چه چیزی امضا شده است؟", "What was signed?"))
        yield Rows(tuple(self._covered_rows(verdict)))
        yield self._heading(level, Message("چه کسی امضا کرده است؟", "Who signed?"))
        yield Rows(tuple(self._signer_rows(verdict.signer)))
        yield self._heading(level, Message("با کدام اختیار؟", "With which authority?"))
        yield Rows(tuple(self._authority_rows(verdict)))
        yield self._heading(level, Message("چه زمانی؟", "When?"))
        yield Rows(tuple(self._time_rows(verdict)))
        yield self._heading(level, Message("چه ارزشی دارد؟", "What is it worth?"))
        yield Rows(tuple(self._worth_rows(verdict)))
        yield self._heading(level, Message("چرا؟", "Why?"))
        yield from self._reasons(verdict.findings, or_say=True)
        blocks = len(BLOCKS) + MAX_SHOWN_TREES
        checks = signature_checks(verdict, self._verdict)[:blocks]
        yield self._fold(Message("همهٔ بررسی‌ها", "Every check"), checks, level)
        for counter in verdict.counter_signatures[:MAX_SHOWN_ITEMS]:
            yield self._heading(level, Message("امضای متقابل", "Counter-signature"), counter.id)
            yield from self._signature(counter, level=4)

    def _who_and_when(self, verdict: SignatureVerdict) -> Line:
        if verdict.signer is None:
            return ()
        name = Span(visible(common_name(verdict.signer.certificate.subject_der)), Way.STRANGER, strong=True)
        moment = when(verdict.proven_at or verdict.claimed_at, self._language)
        return name, Span(" — "), *moment, Span(f" ({say(WORDS[verdict.time_proof], self._language)})")

    def _covered_rows(self, verdict: SignatureVerdict) -> Iterator[Row]:
        if not verdict.covered:
            nothing = Message(
                "محتوایی که بررسی شدنی باشد در دست نبود.", "No content was at hand that could be checked."
            )
            yield self._row(Message("محتوا", "Content"), (self._span(nothing),))
        for item in verdict.covered[:MAX_SHOWN_ITEMS]:
            size = Message(f"{number(item.size, Language.FA)} بایت", f"{item.size} bytes")
            yield Row(
                (Span(visible(item.what), Way.STRANGER),),
                (_code(f"SHA-256 {item.sha256}"), (self._span(size),)),
            )
        yield self._row(
            Message("محتوا و مقدار امضا", "Content and signature value"), (self._span(WORDS[verdict.crypto]),)
        )
        if verdict.claims is not None:
            yield from self._claim_rows(verdict.claims)

    def _claim_rows(self, claims: ContentClaims) -> Iterator[Row]:
        if claims.identifier is not None:
            yield self._row(Message("شناسهٔ نسخه", "Prescription id"), _code(claims.identifier.hex()))
        if claims.document_sha256 is not None:
            yield self._row(Message("سندِ این کد", "Its document"), _code(f"SHA-256 {claims.document_sha256.hex()}"))
        usable_from = when(claims.not_before or claims.issued_at, self._language)
        yield self._row(Message("قابل استفاده از", "Usable from"), usable_from)
        yield self._row(Message("قابل استفاده تا", "Usable until"), when(claims.expires_at, self._language))

    def _signer_rows(self, signer: SignerIdentity | None) -> Iterator[Row]:
        if signer is None:
            unknown = Message("گواهی امضاکننده شناخته نشد.", "The signer's certificate could not be identified.")
            yield self._row(Message("امضاکننده", "Signer"), (self._span(unknown),))
            return
        certificate = signer.certificate
        yield self._row(
            Message("نام، چنان که گواهی می‌گوید", "Name, as the certificate says"),
            (Span(visible(common_name(certificate.subject_der)), Way.STRANGER, strong=True),),
            (Span(visible(readable_name(certificate.subject_der)), Way.STRANGER),),
        )
        if signer.profession is not None:
            yield self._row(Message("حرفه", "Profession"), (self._profession(signer.profession),))
        if signer.council_number is not None:
            yield self._row(Message("شمارهٔ نظام پزشکی", "Council number"), _code(signer.council_number))
        yield self._row(Message("شمارهٔ گواهی", "Certificate serial"), _code(certificate.serial_hex))

    def _profession(self, slug: str) -> Span:
        scheme = self._verdict.policy.identities
        role: CodedRole | None = scheme.professions.get(slug) or scheme.institutions.get(slug)
        if role is None:
            return Span(visible(slug), Way.STRANGER)
        return Span(role.title_fa if self._language is Language.FA else role.title_en, strong=True)

    def _authority_rows(self, verdict: SignatureVerdict) -> Iterator[Row]:
        signer = verdict.signer
        if signer is not None:
            certificate = signer.certificate
            issuer = Span(visible(readable_name(certificate.issuer_der)), Way.STRANGER)
            yield self._row(Message("صادرکنندهٔ گواهی", "Issuer of the certificate"), (issuer,))
            yield self._row(
                Message("مدت اعتبار گواهی", "Certificate valid"),
                (self._span(Message("از ", "from ")), *when(certificate.not_before, self._language)),
                (self._span(Message("تا ", "until ")), *when(certificate.not_after, self._language)),
            )
            policies = _policies(certificate)
            if policies:
                yield self._row(Message("سیاست‌های گواهی", "Certificate policies"), *map(_code, policies))
        named = verdict.signature_policy
        if named is not None and named.name is not None:
            yield self._row(Message("سیاست امضا", "Signature policy"), (Span(visible(named.name), Way.STRANGER),))
        if not verdict.chain:
            broken = Message("به ریشه‌ای معتمد نمی‌رسد.", "leads to no trusted anchor.")
            yield self._row(Message("زنجیرهٔ اعتماد", "Chain of trust"), (self._span(broken),))
        else:
            links = (self._link(index, one) for index, one in enumerate(verdict.chain, start=1))
            yield self._row(Message("زنجیرهٔ اعتماد", "Chain of trust"), *links)
        for status in verdict.statuses:
            yield self._row(Message("وضعیت ابطال", "Revocation status"), *self._status(status, verdict.chain))

    def _link(self, index: int, certificate: Certificate) -> Line:
        name = Span(visible(common_name(certificate.subject_der)), Way.STRANGER)
        return Span(f"{number(index, self._language)}. "), name, Span(" "), Span(certificate.serial_hex, Way.CODE)

    def _status(self, status: KnownStatus, chain: tuple[Certificate, ...]) -> Iterator[Line]:
        holder = next((one for one in chain if one.serial_hex == status.serial), None)
        name = status.serial if holder is None else visible(common_name(holder.subject_der))
        word = STATUSES.get(status.answer)
        answer = Span(status.answer, Way.CODE) if word is None else Span(say(word, self._language), strong=True)
        yield Span(name, Way.STRANGER), Span(": "), answer
        if status.answer != "silent":
            yield self._span(Message("بنا بر ", "according to ")), Span(visible(status.origin), Way.CODE)
            yield self._span(Message("در ", "as of ")), *when(status.this_update, self._language)
        if status.revoked_at is not None:
            since = Message("از ", "since ")
            reason = () if status.reason is None else (Span(" "), Span(visible(status.reason), Way.CODE))
            yield self._span(since), *when(status.revoked_at, self._language), *reason

    def _time_rows(self, verdict: SignatureVerdict) -> Iterator[Row]:
        yield self._row(Message("زمان ادعایی", "Claimed time"), when(verdict.claimed_at, self._language))
        yield self._row(Message("زمان اثبات‌شده", "Proven time"), when(verdict.proven_at, self._language))
        yield self._row(Message("پشتوانهٔ زمان", "What the time rests on"), (self._span(WORDS[verdict.time_proof]),))
        for stamp in verdict.timestamps[:MAX_SHOWN_ITEMS]:
            yield from self._stamp_rows(stamp)

    def _stamp_rows(self, stamp: TimestampVerdict) -> Iterator[Row]:
        authority = Span(visible(stamp.authority or "—"), Way.STRANGER)
        conclusion = self._conclusion(stamp.indication, stamp.sub_indication)
        yield self._row(
            Message("مهر زمانی", "Time-stamp"), when(stamp.generated_at, self._language), (authority,), conclusion
        )

    def _worth_rows(self, verdict: SignatureVerdict) -> Iterator[Row]:
        yield self._row(
            Message("برای مراقبت", "For care"), (Span(say(WORDS[verdict.care], self._language), strong=True),)
        )
        grade = (Span(verdict.assurance, Way.CODE), Span(" — "), self._span(WORTH[verdict.assurance]))
        yield self._row(Message("درجهٔ اطمینان", "Assurance"), grade)
        if verdict.level is not None:
            meaning = next((text for name, text in LEVELS.items() if verdict.level.endswith(name)), None)
            said = () if meaning is None else (Span(" — "), self._span(meaning))
            yield self._row(Message("سطح", "Level"), (Span(verdict.level, Way.CODE), *said))
        if verdict.algorithm is not None:
            yield self._row(Message("الگوریتم", "Algorithm"), _code(verdict.algorithm))
        yield self._row(Message("فرایند اعتبارسنجی", "Validation process"), _code(process_of(verdict)))

    # -- why ---------------------------------------------------------------------------------------

    def _reasons(self, findings: Iterable[Finding], *, or_say: bool = False) -> Iterator[Part]:
        rows = tuple(self._reason(finding) for finding in findings)
        if rows:
            yield Rows(rows)
        elif or_say:
            yield Paragraph((self._span(MEANINGS[Indication.PASSED]),))

    def _reason(self, finding: Finding) -> Row:
        weight = {
            Indication.FAILED: Message("رد می‌کند", "Decides against"),
            Indication.INDETERMINATE: Message("باز می‌گذارد", "Leaves open"),
        }.get(finding.indication or Indication.PASSED, Message("گفتنی", "To be noted"))
        return self._row(weight, (self._span(REASONS[finding.reason]),), *self._particulars(finding))

    def _particulars(self, finding: Finding) -> Iterator[Line]:
        yield (Span(finding.reason, Way.CODE),)
        for part in (finding.about, finding.detail):
            if part:
                yield _code(part)

    # -- checks ------------------------------------------------------------------------------------

    def _fold(self, title: Message, groups: Iterable[Group], level: int = 2) -> Fold:
        parts = tuple(part for group in groups for part in self._group(group, level + 1))
        return Fold(self._heading(level, title), parts)

    def _group(self, group: Group, level: int) -> Iterator[Part]:
        clause = Span(f"EN 319 102-1 §{group.clause}", Way.CODE)
        name = (Span(" "), Span(visible(group.name), Way.CODE)) if group.groups else ()
        outcome = (
            (self._span(_NOT_REACHED),)
            if group.indication is None
            else self._conclusion(group.indication, group.sub_indication, whole=False)
        )
        yield Heading(level, (self._span(group.title), *name, Span(" · "), clause, Span(" · "), *outcome))
        if group.checks:
            yield Rows(tuple(self._check(check) for check in group.checks))
        for below in group.groups:
            yield from self._group(below, level + 1)

    def _check(self, check: Check) -> Row:
        rule = f" ({say(RULES[check.level], self._language)})"
        asked = (self._span(check.constraint.asks), Span(rule))
        said = (_code(part) for part in (check.about, check.evidence) if part)
        found = (line for finding in check.findings for line in self._particulars(finding))
        return Row((Span(say(OUTCOMES[check.outcome], self._language)),), (asked, *said, *found))

    # -- words -------------------------------------------------------------------------------------

    def _how_to_read(self) -> Iterator[Part]:
        yield self._heading(2, Message("چگونه خوانده شود", "How to read this report"))
        for indication in Indication:
            code = (Span(indication, Way.CODE), Span(" — "))
            word = Span(say(WORDS[indication], self._language) + ": ", strong=True)
            yield Paragraph((*code, word, self._span(MEANINGS[indication])))
        yield Paragraph((self._span(METHOD),))

    def _banner(self, indication: Indication, sub: SubIndication | None, who: Line = ()) -> Banner:
        lines = (self._conclusion(indication, sub), who, (self._span(MEANINGS[indication]),))
        return Banner(indication, tuple(line for line in lines if line))

    def _conclusion(self, indication: Indication, sub: SubIndication | None, *, whole: bool = True) -> Line:
        name = indication if whole else part_of(indication)
        code = name if sub is None else f"{name} / {sub}"
        return Span(say(WORDS[indication], self._language), strong=True), Span(" "), Span(code, Way.CODE)

    def _heading(self, level: int, title: Message, name: str = "") -> Heading:
        extra = (Span(" "), Span(visible(name), Way.CODE)) if name else ()
        return Heading(level, (self._span(title), *extra))

    def _row(self, label: Message, *values: Line) -> Row:
        return Row((self._span(label),), values)

    def _span(self, message: Message) -> Span:
        return Span(say(message, self._language))


def _code(text: str) -> Line:
    return (Span(visible(text), Way.CODE),)


def _policies(certificate: Certificate) -> tuple[str, ...]:
    try:
        return tuple(certificate.policies)[:8]
    except UNREADABLE:
        return ()
