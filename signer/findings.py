"""What a signer should know about a document before signing it; shown, and never a verdict."""

from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final

from pki.messages import Message


@unique
class FindingCode(StrEnum):
    """Stable names of what may be found in a document."""

    HIDDEN_CHARACTERS = "hidden-characters"
    MIXED_DIGITS = "mixed-digits"
    REFERENCE_UNRESOLVED = "reference-unresolved"
    REFERENCE_AMBIGUOUS = "reference-ambiguous"
    SEVERAL_PATIENTS = "several-patients"
    PATIENT_ABSENT = "patient-absent"
    VALUE_SHORTENED = "value-shortened"
    PDF_ENCRYPTED = "pdf-encrypted"
    PDF_HYBRID = "pdf-hybrid"
    PDF_SCRIPT = "pdf-script"
    PDF_LAUNCH = "pdf-launch"
    PDF_XFA = "pdf-xfa"
    PDF_CERTIFIED = "pdf-certified"
    PDF_TOO_COMPLEX = "pdf-too-complex"
    PDF_LAYERS = "pdf-layers"
    PDF_ATTACHMENTS = "pdf-attachments"

    @property
    def refuses(self) -> bool:
        """Whether a document with this finding is not signed at all."""
        return self in _REFUSED

    @property
    def message(self) -> Message:
        """The finding in Persian and English."""
        return _MESSAGES[self]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One finding and where in the document it is (a FHIR path, empty for the whole document)."""

    code: FindingCode
    where: str = ""

    @property
    def text_fa(self) -> str:
        """The finding in Persian."""
        return self.code.message.fa

    @property
    def text_en(self) -> str:
        """The finding in English."""
        return self.code.message.en

    def __str__(self) -> str:
        place = f" [{self.where}]" if self.where else ""
        return f"{self.text_fa} | {self.text_en}{place}"


_REFUSED: Final = frozenset(
    {
        FindingCode.PDF_ENCRYPTED,
        FindingCode.PDF_HYBRID,
        FindingCode.PDF_SCRIPT,
        FindingCode.PDF_LAUNCH,
        FindingCode.PDF_XFA,
        FindingCode.PDF_CERTIFIED,
        FindingCode.PDF_TOO_COMPLEX,
    }
)

_MESSAGES: Final = {
    FindingCode.HIDDEN_CHARACTERS: Message(
        "نویسهٔ پنهان یا جهت‌گردان در متن هست و با ⟦U+…⟧ نشان داده شده است.",
        "The text holds invisible or direction-changing characters, shown as ⟦U+…⟧.",
    ),
    FindingCode.MIXED_DIGITS: Message(
        "رقم‌های هم‌شکل از چند خط در یک مقدار آمده‌اند.", "One value mixes look-alike digits of several scripts."
    ),
    FindingCode.REFERENCE_UNRESOLVED: Message(
        "سند به چیزی اشاره می‌کند که در آن نیست.", "The document refers to something that is not in it."
    ),
    FindingCode.REFERENCE_AMBIGUOUS: Message(
        "یک شناسه در سند برای دو چیز آمده است.", "Two things in the document go by one identifier."
    ),
    FindingCode.SEVERAL_PATIENTS: Message("سند از بیش از یک بیمار نام می‌برد.", "The document names several patients."),
    FindingCode.PATIENT_ABSENT: Message("بیمار در سند نیست.", "The document names no patient."),
    FindingCode.VALUE_SHORTENED: Message(
        "مقداری بلند کوتاه‌شده نمایش داده شده و چکیدهٔ آن آمده است.",
        "A long value is shown shortened, with its digest.",
    ),
    FindingCode.PDF_ENCRYPTED: Message("فایل PDF رمزگذاری شده است.", "The PDF is encrypted."),
    FindingCode.PDF_HYBRID: Message(
        "فایل PDF دو جدول ارجاع ناهمسان دارد.", "The PDF has hybrid cross-reference sections."
    ),
    FindingCode.PDF_SCRIPT: Message("فایل PDF برنامهٔ JavaScript دارد.", "The PDF holds JavaScript."),
    FindingCode.PDF_LAUNCH: Message("فایل PDF برنامه‌ای را اجرا می‌کند.", "The PDF launches a program."),
    FindingCode.PDF_XFA: Message("فایل PDF فرم پویای XFA دارد.", "The PDF holds a dynamic XFA form."),
    FindingCode.PDF_CERTIFIED: Message(
        "امضای پیشین هر تغییری را در فایل PDF ممنوع کرده است.", "An earlier signature forbids any change to the PDF."
    ),
    FindingCode.PDF_TOO_COMPLEX: Message(
        "فایل PDF آن‌قدر پیچیده است که بررسی نمی‌شود.", "The PDF is too complex to be looked through."
    ),
    FindingCode.PDF_LAYERS: Message(
        "فایل PDF لایه‌هایی دارد که پنهان می‌شوند.", "The PDF has layers that can be hidden."
    ),
    FindingCode.PDF_ATTACHMENTS: Message("فایل PDF پیوست دارد.", "The PDF has attached files."),
}
