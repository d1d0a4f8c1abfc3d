"""Who a certificate is for: identifiers with their check digits, and subjects with their X.509 names.

Check-digit rules are the published ones; what is not public (letters of council numbers, the SIAM id's
form) is accepted loosely and named so. Names are normalised once at entry; characters that could make
one name look like another are refused.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final, NewType

from cryptography import x509
from cryptography.x509.oid import NameOID

from pki.errors import ErrorCode, InvalidInput

NationalCode = NewType("NationalCode", str)
LegalId = NewType("LegalId", str)
CouncilNumber = NewType("CouncilNumber", str)
SiamId = NewType("SiamId", str)

_DIGITS: Final = str.maketrans("۰۱۲۳۴۵۶۷۸۹٠١٢٣٤٥٦٧٨٩", "01234567890123456789")
_LETTERS: Final = str.maketrans("يىك", "ییک")
_ZWNJ: Final = "\u200c"
MAX_NAME: Final = 64  # ub-common-name, RFC 5280 appendix A.1
MAX_COUNCIL_NUMBER: Final = 16


def _refuse(what: str, rule: str) -> InvalidInput:
    return InvalidInput(ErrorCode.IDENTITY_INVALID, what, reason=f"identity.{rule}")


def ascii_digits(text: str) -> str:
    """Turn Persian and Arabic-Indic digits into ASCII ones."""
    return text.translate(_DIGITS)


def parse_national_code(text: str) -> NationalCode:
    """Check a national code (10 digits, mod-11 check digit); 8 or 9 digits are padded.

    InvalidInput (`identity-invalid`) otherwise; the value itself is never in the message.
    """
    digits = ascii_digits(text.strip())
    if not re.fullmatch(r"[0-9]{8,10}", digits):
        raise _refuse("national code is not 10 digits", "national-code-form")
    digits = digits.zfill(10)
    if digits == digits[0] * 10 or digits[3:9] == "000000":
        raise _refuse("national code is of a reserved pattern", "national-code-reserved")
    rest = sum(int(digit) * (10 - index) for index, digit in enumerate(digits[:9])) % 11
    if int(digits[9]) != (rest if rest < 2 else 11 - rest):
        raise _refuse("national code has a wrong check digit", "national-code-check-digit")
    return NationalCode(digits)


def parse_legal_id(text: str) -> LegalId:
    """Check a legal entity's national id (11 digits with check digit)."""
    digits = ascii_digits(text.strip())
    if not re.fullmatch(r"[0-9]{11}", digits) or digits[3:9] == "000000":
        raise _refuse("legal id is not 11 digits", "legal-id-form")
    offset = int(digits[9]) + 2
    weights = (29, 27, 23, 19, 17)
    total = sum((int(digit) + offset) * weights[index % 5] for index, digit in enumerate(digits[:10]))
    if int(digits[10]) != total % 11 % 10:
        raise _refuse("legal id has a wrong check digit", "legal-id-check-digit")
    return LegalId(digits)


def parse_council_number(text: str, form: re.Pattern[str]) -> CouncilNumber:
    """Check a council number by the form that its profession's have."""
    number = ascii_digits(unicodedata.normalize("NFC", text.strip()).translate(_LETTERS))
    if len(number) > MAX_COUNCIL_NUMBER or not form.fullmatch(number):
        raise _refuse("council number has an unknown form", "council-number-form")
    return CouncilNumber(number)


def parse_siam_id(text: str) -> SiamId:
    """Check a centre's SIAM id: a GUID or 4 to 36 letters, digits and hyphens (its rules are not public)."""
    value = ascii_digits(text.strip()).lower()
    if not re.fullmatch(r"[0-9a-z](?:[0-9a-z-]{2,34})[0-9a-z]", value):
        raise _refuse("SIAM id has an unknown form", "siam-id-form")
    return SiamId(value)


def parse_name(text: str, *, limit: int = MAX_NAME) -> str:
    """Normalise a name for a certificate: NFC, Persian letters, single spaces, ASCII digits.

    InvalidInput for control, bidi and invisible characters (a zero-width non-joiner between letters is
    spelling and stays), for emptiness and for more than `limit` characters.
    """
    name = ascii_digits(" ".join(unicodedata.normalize("NFC", text).translate(_LETTERS).split()))
    if not name or len(name) > limit:
        raise _refuse(f"a name has 1 to {limit} characters", "name-length")
    for index, char in enumerate(name):
        if char == _ZWNJ and 0 < index < len(name) - 1 and name[index - 1].isalpha() and name[index + 1].isalpha():
            continue
        if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
            raise _refuse(f"character U+{ord(char):04X} is not allowed in a name", "name-character")
    return name


def _utf8(kind: x509.ObjectIdentifier, value: str) -> x509.NameAttribute[str]:
    # RFC 5280 §4.1.2.4: UTF8String, where X.520 leaves the choice; countryName and serialNumber it does not.
    if kind in (NameOID.COUNTRY_NAME, NameOID.SERIAL_NUMBER):
        return x509.NameAttribute(kind, value)
    return x509.NameAttribute(kind, value, x509.name._ASN1Type.UTF8String)  # noqa: SLF001 - no public name


def build_name(*attributes: tuple[x509.ObjectIdentifier, str | None]) -> x509.Name:
    """Build a Name from (type, value) pairs, most general first; pairs without a value are left out."""
    return x509.Name([_utf8(kind, value) for kind, value in attributes if value])


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonIdentity:
    """A citizen: names as in the civil registry, national code."""

    national_code: NationalCode
    given_name: str
    surname: str

    @property
    def common_name(self) -> str:
        """Given name and surname."""
        return f"{self.given_name} {self.surname}"[:MAX_NAME]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClinicianIdentity(PersonIdentity):
    """A person of a regulated profession (by its slug) with a council's number."""

    profession: str
    council_number: CouncilNumber


@dataclass(frozen=True, slots=True, kw_only=True)
class CentreIdentity:
    """A centre of the health network: SIAM id, name, kind (by its slug) and the legal entity behind it."""

    siam_id: SiamId
    name: str
    kind: str
    legal_id: LegalId
    province: str
    city: str
    unit: str | None = None
