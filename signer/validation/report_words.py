"""What reports for people say, in both languages: words of verdicts, and times in both calendars."""

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Final

from persiantools.jdatetime import JalaliDateTime

from pki.messages import Message
from signer.validation.report import instant
from signer.validation.report_blocks import Level
from signer.validation.report_checks import Outcome
from signer.validation.report_page import Language, Line, Span, Way
from signer.validation.verdict import Assurance, Care, Crypto, Indication, TimeProof

WORDS: Final[Mapping[Indication | Care | Crypto | TimeProof, Message]] = {
    Indication.PASSED: Message("معتبر", "Valid"),
    Indication.FAILED: Message("نامعتبر", "Not valid"),
    Indication.INDETERMINATE: Message("نامعین", "Undecided"),
    Care.VALID: Message("قابل استفاده", "Usable"),
    Care.DEFERRED: Message("موقت؛ بعداً دوباره بررسی شود", "Provisional: check again later"),
    Care.INVALID: Message("غیرقابل استفاده", "Not usable"),
    Crypto.INTACT: Message("سالم: محتوا همان است که امضا شده", "Intact: the content is what was signed"),
    Crypto.BROKEN: Message("شکسته: محتوا یا مقدار امضا نمی‌خواند", "Broken: content or signature value do not match"),
    Crypto.UNKNOWN: Message("نامعلوم", "Unknown"),
    TimeProof.TIMESTAMP: Message("مهر زمانی مرجعی مستقل", "A time-stamp of an independent authority"),
    TimeProof.LEDGER: Message("دفتر ثبت", "A ledger"),
    TimeProof.CLAIMED: Message("تنها ادعای امضاکننده", "The signer's claim alone"),
}
MEANINGS: Final[Mapping[Indication, Message]] = {
    Indication.PASSED: Message(
        "همهٔ بررسی‌های خواسته‌شده برآورده شدند.", "Every check that the policy asks for was passed."
    ),
    Indication.FAILED: Message(
        "دست‌کم یک بررسی نشان می‌دهد که امضا درست نیست؛ به آن تکیه نکنید.",
        "At least one check shows that the signature is not good; do not rely on it.",
    ),
    Indication.INDETERMINATE: Message(
        "با آنچه در دست است نه درستی امضا ثابت می‌شود و نه نادرستی آن.",
        "What is at hand proves neither that the signature is good nor that it is not.",
    ),
}
WORTH: Final[Mapping[Assurance, Message]] = {
    Assurance.A0: Message("چیزی برای تکیه کردن نیست.", "There is nothing to build on."),
    Assurance.A1: Message(
        "کلید از آنِ شخصی معتمد است؛ نگهداری آن نرم‌افزاری یا نامعلوم است.",
        "The key is a trusted person's; it is kept in software, or how it is kept is not known.",
    ),
    Assurance.A2: Message(
        "کلید در سخت‌افزار است؛ وضعیت گواهی یا زمان امضا هنوز باز است.",
        "The key is in hardware; the certificate's status or the time of signing is still open.",
    ),
    Assurance.A3: Message(
        "کلید در سخت‌افزار است، وضعیت گواهی معلوم است و زمان امضا اثبات شده است.",
        "The key is in hardware, the certificate's status is known and the time of signing is proven.",
    ),
}
LEVELS: Final[Mapping[str, Message]] = {
    "B-B": Message("امضای پایه، بی اثبات زمان", "basic, without proof of time"),
    "B-T": Message("با مهر زمانی", "with a time-stamp"),
    "B-LT": Message("با مهر زمانی و داده‌های اعتبارسنجی", "with a time-stamp and validation data"),
    "B-LTA": Message("با مهر زمانی بایگانی", "with an archive time-stamp"),
}
OUTCOMES: Final[Mapping[Outcome, Message]] = {
    Outcome.PASSED: Message("برآورده", "Passed"),
    Outcome.FAILED: Message("رد", "Failed"),
    Outcome.INDETERMINATE: Message("نامعین", "Undecided"),
    Outcome.INFORMED: Message("گفتنی", "To be noted"),
    Outcome.NOT_REACHED: Message("بررسی‌نشده", "Not reached"),
    Outcome.NOT_ASKED: Message("خواسته‌نشده", "Not asked"),
}
RULES: Final[Mapping[Level, Message]] = {
    Level.FAIL: Message("الزامی", "required"),
    Level.INFORM: Message("برای آگاهی", "for information"),
    Level.IGNORE: Message("این سیاست نمی‌خواهد", "not asked by this policy"),
}
STATUSES: Final[Mapping[str, Message]] = {
    "good": Message("باطل نشده", "not revoked"),
    "revoked": Message("باطل‌شده", "revoked"),
    "on-hold": Message("تعلیق‌شده", "suspended"),
    "stale": Message("کهنه", "out of date"),
    "silent": Message("بی‌پاسخ", "no answer"),
}
METHOD: Final = Message(
    "این گزارش را راستی‌آزمای مهر تنها از بایت‌های فایل، ریشه‌های اعتماد، داده‌های وضعیت و سیاست نام‌برده، و به "
    "روش استاندارد اروپایی اعتبارسنجی امضا ساخته است. هر کس با همان فایل، همان داده‌ها و همان زمان بررسی همین گزارش را "
    "می‌گیرد. نام‌ها همان‌اند که در گواهی‌ها آمده‌اند.",
    "The verifier Mohr made this report from the file's bytes, the trust anchors, the status data and the policy named "
    "above alone, by the procedure of EN 319 102-1. Whoever has the same file, the same data and the same validation "
    "time gets this same report. Names are as the certificates give them.",
)
_MONTHS: Final = tuple(
    Message(*pair.split())
    for pair in (
        "فروردین Farvardin",
        "اردیبهشت Ordibehesht",
        "خرداد Khordad",
        "تیر Tir",
        "مرداد Mordad",
        "شهریور Shahrivar",
        "مهر Mehr",
        "آبان Aban",
        "آذر Azar",
        "دی Dey",
        "بهمن Bahman",
        "اسفند Esfand",
    )
)
_TEHRAN: Final = timezone(timedelta(hours=3, minutes=30))
_DIGITS: Final = str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹")


def say(message: Message, language: Language) -> str:
    """Pick the words of a language."""
    return message.fa if language is Language.FA else message.en


def number(value: int, language: Language) -> str:
    """Write a count in the digits of a language."""
    return str(value).translate(_DIGITS) if language is Language.FA else str(value)


def when(moment: datetime | None, language: Language) -> Line:
    """Show an instant in Jalali (Tehran, +03:30) and in UTC, the reader's own calendar first."""
    if moment is None:
        return (Span("—"),)
    utc = Span(instant(moment) or "", Way.CODE)
    try:
        local = moment.astimezone(_TEHRAN).replace(tzinfo=None)
        jalali = JalaliDateTime(local)  # type: ignore[no-untyped-call]  # untyped upstream
    except (ValueError, OverflowError):
        return (utc,)  # a forged time may lie outside either calendar
    month, clock = say(_MONTHS[jalali.month - 1], language), f"{local:%H:%M:%S}"
    if language is Language.FA:
        return Span(f"{jalali.day} {month} {jalali.year}، ساعت {clock} تهران · ".translate(_DIGITS)), utc
    return utc, Span(f" · {jalali.day} {month} {jalali.year}, {clock} Tehran")
