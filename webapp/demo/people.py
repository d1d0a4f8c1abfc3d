"""Synthetic people of the demo: names from a list, identifiers with valid check digits, never a real person's."""

import json
import secrets
from dataclasses import dataclass

from pki.errors import InvalidInput
from pki.identity import parse_national_code

_NAMES = (("سارا", "نمونه‌پور"), ("امید", "آزمایشی"), ("نگار", "فرضی‌نژاد"), ("کاوه", "نمایشی"))


def synthetic_national_code() -> str:
    """Make a national code with a valid check digit, from the range 000… that is not issued."""
    while True:
        nine = f"000{secrets.randbelow(1_000_000):06}"
        rest = sum(int(digit) * (10 - index) for index, digit in enumerate(nine)) % 11
        try:
            return parse_national_code(f"{nine}{rest if rest < 2 else 11 - rest}")
        except InvalidInput:
            continue


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPhysician:
    """A physician who does not exist."""

    given_name: str
    surname: str
    national_code: str
    council_number: str

    @staticmethod
    def make() -> "DemoPhysician":
        """Pick a name and make identifiers."""
        given_name, surname = secrets.choice(_NAMES)
        return DemoPhysician(
            given_name=given_name,
            surname=surname,
            national_code=synthetic_national_code(),
            council_number=str(10_000 + secrets.randbelow(90_000)),
        )

    def registration(self) -> bytes:
        """Write the registration file."""
        return json.dumps(
            {
                "kind": "clinician",
                "given_name": self.given_name,
                "surname": self.surname,
                "national_code": self.national_code,
                "profession": "physician",
                "council_number": self.council_number,
            },
            ensure_ascii=False,
        ).encode()
