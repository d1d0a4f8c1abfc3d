"""Names that stand for a person: a keyed hash of the national code, so that only the register can undo it.

One secret for each year makes the pseudonym in login certificates, one lasting secret the opaque serialNumber.
The secrets lie beside the register that names the persons anyway, and are backed up with it.
"""

import hmac
from datetime import datetime
from typing import Final

from sqlalchemy.exc import IntegrityError

from ca import file_repository as files
from ca.config import AuthoritySettings
from ca.subjects import Pseudonyms
from storage.engine import Database

LASTING: Final = "lasting"
_SECRET_OCTETS: Final = 32
_HEX_DIGITS: Final = 20


def _hash(secret: bytes, national_code: str) -> str:
    return hmac.digest(secret, national_code.encode(), "sha256").hex()[:_HEX_DIGITS]


def period_of(at: datetime) -> str:
    """Name the period whose secret makes pseudonyms: the Gregorian year."""
    return f"{at.year:04}"


def pseudonyms_for(national_code: str, settings: AuthoritySettings, *, yearly: bytes, lasting: bytes) -> Pseudonyms:
    """Make the pseudonyms of a person; the lasting one as a local identifier (EN 319 412-1 §5.1.3)."""
    return Pseudonyms(
        yearly=_hash(yearly, national_code), lasting=f"MH:{settings.country}-{_hash(lasting, national_code)}"
    )


def secret_of(database: Database, period: str, fresh: bytes) -> bytes:
    """Return the secret of a period; `fresh` (32 random octets) becomes it when there is none yet."""
    if len(fresh) != _SECRET_OCTETS:
        raise ValueError("a pseudonym secret has 32 octets")
    with database.read() as connection:
        found = files.pseudonym_secret(connection, period)
    if found is not None:
        return found
    try:
        with database.begin() as unit:
            files.add_pseudonym_secret(unit.connection, period, fresh)
    except IntegrityError:  # another program was first
        with database.read() as connection:
            found = files.pseudonym_secret(connection, period)
        if found is None:
            raise
        return found
    return fresh
