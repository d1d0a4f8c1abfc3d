"""A verdict as one HTML page that stands alone: Persian first, English beside it, Jalali and UTC times.

Values that read left to right (names, digests, codes) are isolated; everything from the file is escaped.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from html import escape
from typing import Final

from persiantools.jdatetime import JalaliDateTime

from pki.messages import Message
from signer.validation.names import readable_name
from signer.validation.reasons import REASONS
from signer.validation.report import instant
from signer.validation.verdict import (
    Care,
    Crypto,
    FileVerdict,
    Finding,
    Indication,
    SignatureVerdict,
    TimeProof,
    TimestampVerdict,
)

_TEHRAN: Final = timezone(timedelta(hours=3, minutes=30))

WORDS: Final = {
    Indication.PASSED: Message("معتبر", "Valid"),
    Indication.FAILED: Message("نامعتبر", "Not valid"),
    Indication.INDETERMINATE: Message("نامعین", "Undecided"),
    Care.VALID: Message("قابل استفاده", "Usable"),
    Care.DEFERRED: Message("موقت؛ بعداً دوباره بررسی شود", "Provisional: check again later"),
    Care.INVALID: Message("غیرقابل استفاده", "Not usable"),
    Crypto.INTACT: Message("سالم", "Intact"),
    Crypto.BROKEN: Message("شکسته", "Broken"),
    Crypto.UNKNOWN: Message("نامعلوم", "Unknown"),
    TimeProof.TIMESTAMP: Message("مهر زمانی", "Time-stamp"),
    TimeProof.LEDGER: Message("دفتر", "Ledger"),
    TimeProof.CLAIMED: Message("ادعای امضاکننده", "The signer's claim"),
}

_STYLE: Final = """
:root{color-scheme:light dark;font-family:Vazirmatn,"Noto Sans Arabic",Tahoma,sans-serif;line-height:1.7}
body{max-width:54rem;margin:2rem auto;padding:0 1rem}h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}
.verdict{border-inline-start:.5rem solid;padding:.5rem 1rem;border-radius:.25rem}
.TOTAL-PASSED{border-color:#1b7f3b}.TOTAL-FAILED{border-color:#b3261e}.INDETERMINATE{border-color:#9a6700}
table{border-collapse:collapse;width:100%}th,td{text-align:start;vertical-align:top;padding:.35rem .5rem;
border-top:1px solid #8884}
th{width:14rem;font-weight:600}.en{opacity:.8;font-size:.9em}code,bdi{overflow-wrap:anywhere}
"""


def report_html(verdict: FileVerdict, name: str) -> str:
    """Write the report on one file; the same verdict gives the same page."""
    parts = [
        _both("h1", Message("گزارش راستی‌آزمایی امضا", "Signature verification report")),
        _summary(verdict, name),
        _reasons(verdict.findings),
    ]
    for number, signature in enumerate(verdict.signatures, start=1):
        parts.append(_both("h2", Message(f"امضای {number}", f"Signature {number}")))
        parts.append(_signature(signature))
    for stamp in verdict.timestamps:
        parts.append(_both("h2", Message("مهر زمانی سند", "Document time-stamp")))
        parts.append(_timestamps((stamp,)))
        parts.append(_reasons(stamp.findings))
    title = escape(name)
    return (
        f'<!doctype html>\n<html lang="fa" dir="rtl"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body>{''.join(parts)}</body></html>\n"
    )


def _summary(verdict: FileVerdict, name: str) -> str:
    rows = [
        (Message("فایل", "File"), ltr(name)),
        (Message("قالب", "Format"), ltr(verdict.format or "—")),
        (Message("زمان بررسی", "Validated at"), when(verdict.validated_at)),
        (Message("سیاست", "Policy"), ltr(verdict.policy.name)),
    ]
    return _headline(verdict.indication, verdict.sub_indication) + _table(rows)


def _headline(indication: Indication, sub_indication: str | None) -> str:
    code = ltr(indication if sub_indication is None else f"{indication} / {sub_indication}")
    return f'<div class="verdict {indication}">{_words(WORDS[indication])} {code}</div>'


def _signature(verdict: SignatureVerdict) -> str:
    signer = verdict.signer
    rows = [
        (Message("برای مراقبت", "For care"), _words(WORDS[verdict.care])),
        (Message("محتوا و مقدار امضا", "Content and signature value"), _words(WORDS[verdict.crypto])),
        (Message("سطح", "Level"), ltr(verdict.level or "—")),
        (Message("اطمینان", "Assurance"), ltr(verdict.assurance)),
        (Message("زمان ادعایی", "Claimed time"), when(verdict.claimed_at)),
        (Message("زمان اثبات‌شده", "Proven time"), when(verdict.proven_at)),
        (Message("سند زمان", "Proof of time"), _words(WORDS[verdict.time_proof])),
    ]
    if signer is not None:
        rows += [
            (Message("امضاکننده", "Signer"), ltr(readable_name(signer.certificate.subject_der))),
            (Message("شمارهٔ نظام پزشکی", "Council number"), ltr(signer.council_number or "—")),
            (Message("حرفه", "Profession"), f"<bdi>{escape(signer.profession or '—')}</bdi>"),
            (Message("صادرکننده", "Issuer"), ltr(readable_name(signer.certificate.issuer_der))),
            (Message("شمارهٔ گواهی", "Certificate serial"), ltr(signer.certificate.serial_hex)),
        ]
    rows += [
        (Message("محتوای امضاشده", "Signed content"), f"{ltr(item.what)} {ltr(item.sha256)} {ltr(str(item.size))}")
        for item in verdict.covered
    ]
    rows += [
        (
            Message("وضعیت گواهی", "Certificate status"),
            f"{ltr(s.serial)} {ltr(s.answer)} {ltr(s.origin)} {when(s.this_update)}",
        )
        for s in verdict.statuses
    ]
    head = _headline(verdict.indication, verdict.sub_indication)
    whole = head + _table(rows) + _timestamps(verdict.timestamps) + _reasons(verdict.findings)
    return whole + "".join(map(_counter_signature, verdict.counter_signatures))


def _counter_signature(verdict: SignatureVerdict) -> str:
    title = _words(Message("امضای متقابل", "Counter-signature"))
    return f"<section><h3>{title} {ltr(verdict.id)}</h3>{_signature(verdict)}</section>"


def _timestamps(stamps: Iterable[TimestampVerdict]) -> str:
    rows = []
    for stamp in stamps:
        code = f"{stamp.indication} / {stamp.sub_indication}" if stamp.sub_indication else stamp.indication
        words = _words(WORDS[stamp.indication])
        value = f"{when(stamp.generated_at)} {words} {ltr(code)} {ltr(stamp.authority or '—')}"
        rows.append((Message("مهر زمانی", "Time-stamp"), value))
    return _table(rows)


def _reasons(findings: Iterable[Finding]) -> str:
    items = []
    for finding in findings:
        extra = " · ".join(part for part in (finding.about, finding.detail) if part)
        shown = f" {ltr(extra)}" if extra else ""
        items.append(f"<li>{_words(REASONS[finding.reason])}{shown} {ltr(finding.reason)}</li>")
    return f"<ul>{''.join(items)}</ul>" if items else ""


def _table(rows: Iterable[tuple[Message, str]]) -> str:
    body = "".join(f"<tr><th>{_words(label)}</th><td>{value}</td></tr>" for label, value in rows)
    return f"<table>{body}</table>" if body else ""


def _both(tag: str, text: Message) -> str:
    return f"<{tag}>{_words(text)}</{tag}>"


def _words(text: Message) -> str:
    return f'{escape(text.fa)} <span class="en" lang="en" dir="ltr">{escape(text.en)}</span>'


def ltr(value: str) -> str:
    """Isolate and escape a value that reads from left to right."""
    return f'<bdi dir="ltr"><code>{escape(value)}</code></bdi>'


def when(moment: datetime | None) -> str:
    """Show an instant in Jalali (Tehran, +03:30) and in UTC."""
    if moment is None:
        return "—"
    utc = ltr(instant(moment) or "")
    try:
        local = moment.astimezone(_TEHRAN).replace(tzinfo=None)
        jalali = JalaliDateTime(local)  # type: ignore[no-untyped-call]  # untyped upstream
    except (ValueError, OverflowError):
        return utc  # a forged time may lie outside either calendar
    return f"{ltr(jalali.strftime('%Y/%m/%d %H:%M:%S'))} {utc}"
