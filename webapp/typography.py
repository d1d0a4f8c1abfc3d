"""How values appear in a page: isolated by direction, digits of the language, hostile characters made visible.

In a right-to-left paragraph an unisolated Latin run changes its meaning (`-5 mg` shows as `mg 5-`), so every
value passes one of these filters, each of which returns one `<bdi>`.
"""

import re
import unicodedata
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from flask import Flask
from markupsafe import Markup, escape
from persiantools.jdatetime import JalaliDateTime

from webapp.addresses import Language
from webapp.languages import current_language

TEHRAN: Final = ZoneInfo("Asia/Tehran")
MAX_SHOWN: Final = 400
_ATTRIBUTE_START: Final = re.compile(r", (?=[A-Za-z0-9.]{1,40}=)")
_ZWNJ: Final = "\u200c"
_PERSIAN_DIGITS: Final = str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹")
# Markup joined to text by `+` escapes the text, and costs a third of `Markup.format`.
_CODE: Final = Markup('<bdi dir="ltr" lang="en" class="code">')
_SPOKEN: Final = Markup('<bdi dir="ltr" class="spoken">')
_PERSON: Final = Markup('<bdi dir="auto" class="person">')
_RTL: Final = Markup('<bdi dir="rtl">')
_LTR: Final = Markup('<bdi dir="ltr">')
_END: Final = Markup("</bdi>")
_HIDDEN: Final = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})
_MONTHS_EN: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_JALALI_MONTHS_EN: Final = (
    "Farvardin", "Ordibehesht", "Khordad", "Tir", "Mordad", "Shahrivar",
    "Mehr", "Aban", "Azar", "Dey", "Bahman", "Esfand",
)  # fmt: skip
_JALALI_MONTHS_FA: Final = (
    "فروردین", "اردیبهشت", "خرداد", "تیر", "مرداد", "شهریور",
    "مهر", "آبان", "آذر", "دی", "بهمن", "اسفند",
)  # fmt: skip


def _is_spelling(text: str, index: int) -> bool:
    if text[index] != _ZWNJ or not 0 < index < len(text) - 1:
        return False
    return all(unicodedata.bidirectional(text[at]) in ("AL", "NSM") for at in (index - 1, index + 1))


def visible(text: str) -> Markup:
    """Escape a text and show what hides in it: bidi controls and invisible characters as `⟦U+202E⟧`.

    A zero-width non-joiner between Arabic letters is spelling and stays. Long texts are cut for display.
    """
    shown = text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"
    if shown.isprintable():
        return escape(shown)
    parts: list[str] = []
    for index, char in enumerate(shown):
        if unicodedata.category(char) in _HIDDEN and not _is_spelling(shown, index):
            parts.append(f'<span class="hidden-char" dir="ltr">⟦U+{ord(char):04X}⟧</span>')
        else:
            parts.append(str(escape(char)))
    return Markup("").join(Markup(part) for part in parts)  # noqa: S704 - each part is escaped or our own


def _digits(text: str) -> str:
    return text.translate(_PERSIAN_DIGITS) if current_language() is Language.FA else text


def code(value: object) -> Markup:
    """Show a code, serial, hash or technical name: left to right, Latin digits."""
    return _CODE + visible(str(value)) + _END


def spoken(value: object) -> Markup:
    """Show a number that people read aloud with the digits of the language; with letters in it, it is a code."""
    text = str(value)
    if not text.isascii() or not text.isdigit():
        return code(text)
    return _SPOKEN + _digits(text) + _END


def distinguished(value: str) -> Markup:
    """Show a certificate's name attribute by attribute: `CN=` left to right, each value by its own direction."""
    shown = []
    for part in _ATTRIBUTE_START.split(value[:MAX_SHOWN]):
        kind, equals, text = part.partition("=")
        shown.append(
            Markup('<bdi dir="ltr" class="attribute">{}{}<bdi>{}</bdi></bdi>').format(
                visible(kind), equals, visible(text)
            )
        )
    return Markup('<bdi dir="ltr" class="name">{}</bdi>').format(Markup(", ").join(shown))


def person(value: object) -> Markup:
    """Show a name of unknown direction: of a person, an organisation, a file."""
    return _PERSON + visible(str(value)) + _END


def number(value: int) -> Markup:
    """Show a number with the digits and the group separator of the language."""
    text = f"{value:,}"
    if current_language() is Language.FA:
        text = text.replace(",", "٬")
    return Markup("<bdi>{}</bdi>").format(_digits(text))


def file_size(octets: int) -> Markup:
    """Show a size in the largest fitting unit, number and unit as one isolate."""
    fa = current_language() is Language.FA
    for unit_fa, unit_en, size in (("مگابایت", "MB", 1024 * 1024), ("کیلوبایت", "KB", 1024)):
        if octets >= size:
            value = f"{octets / size:.1f}".removesuffix(".0")
            value = _digits(value.replace(".", "٫")) if fa else value
            return Markup("<bdi>{} {}</bdi>").format(value, unit_fa if fa else unit_en)
    return Markup("<bdi>{} {}</bdi>").format(_digits(str(octets)), "بایت" if fa else "bytes")


def utc(moment: datetime) -> Markup:
    """Show an aware UTC instant to the second, for machines and courts."""
    stamp = moment.replace(tzinfo=None, microsecond=0).isoformat(" ")
    return Markup('<time datetime="{}Z">{}</time>').format(stamp.replace(" ", "T"), code(f"{stamp} UTC"))


def jalali(moment: datetime) -> Markup:
    """Show an instant for people: the Jalali day at Tehran and its hour; beyond the calendar, UTC."""
    try:
        local = moment.astimezone(TEHRAN)
        day = JalaliDateTime.to_jalali(local)  # type: ignore[no-untyped-call]  # one untyped parameter upstream
    except (ValueError, OverflowError):
        return code(moment.isoformat())
    if current_language() is Language.FA:
        text = f"{day.day} {_JALALI_MONTHS_FA[day.month - 1]} {day.year}، ساعت {local:%H:%M}"
        return _RTL + _digits(text) + _END
    text = f"{local.day} {_MONTHS_EN[local.month - 1]} {local.year}, {local:%H:%M} Tehran time"
    jalali_day = f"{day.day} {_JALALI_MONTHS_EN[day.month - 1]} {day.year}"
    return _LTR + f"{text} ({jalali_day})" + _END


def age(span: timedelta) -> Markup:
    """Show how old something is, in the largest whole unit; a negative age as zero."""
    seconds = max(0, int(span.total_seconds()))
    fa = current_language() is Language.FA
    for unit_fa, unit_en, size in (("روز", "day", 86400), ("ساعت", "hour", 3600), ("دقیقه", "minute", 60)):
        count = seconds // size
        if count:
            return Markup("<bdi>{} {}</bdi>").format(
                _digits(f"{count:,}".replace(",", "٬")) if fa else f"{count:,}",
                unit_fa if fa else unit_en + "s" * (count > 1),
            )
    return Markup("<bdi>{}</bdi>").format("کمتر از یک دقیقه" if fa else "less than a minute")


def install(app: Flask) -> None:
    """Give the templates these filters."""
    for show in (code, spoken, person, distinguished, number, file_size, utc, jalali, age):
        app.jinja_env.filters[show.__name__] = show
