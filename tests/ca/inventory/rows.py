"""Certificates by the thousand, as rows alone: every value of every column that is searched by."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random
from typing import Any

from sqlalchemy import insert

from ca.status.revocation import CertificateState, RevocationReason
from ca.tables import certificates, registration_files
from storage.engine import Database
from tests.ca.world import START, national_code

PROFESSIONS = ("physician", "dentist", "nurse")
PROVINCES = ("تهران", "فارس", "یزد")
FILES = ("file0", "file1")
HOLDERS = tuple(national_code(number) for number in range(12))
STATES = tuple(CertificateState)
_BARE = {"status_version": 1, "shard": 0, "tbs_sha256": b"", "requested_by": "clerk"}


def _persons(random: Random) -> dict[str, Any]:
    number = random.randrange(len(HOLDERS))
    return {
        "issuer": "persons",
        "profile": random.choice(("clin-sign", "clin-auth")),
        "holder": HOLDERS[number],
        "name": "علی رضایی",
        "licence": f"{10000 + number}",
        "profession": PROFESSIONS[number % len(PROFESSIONS)],
        "province": None,
        "siam_id": None,
    }


def _centres(random: Random) -> dict[str, Any]:
    number = random.randrange(9)
    return {
        "issuer": "institutions",
        "profile": random.choice(("hix-tls", "hix-seal")),
        "holder": f"c-100{number}",
        "name": "=1+1",
        "licence": None,
        "profession": None,
        "province": PROVINCES[number % len(PROVINCES)],
        "siam_id": f"c-100{number}",
    }


def _day(random: Random, days: int) -> datetime:
    return START + timedelta(days=random.randrange(days), seconds=random.randrange(3))


def row(random: Random, serial: str) -> dict[str, Any]:
    """Make one row."""
    state = random.choice(STATES)
    revoked = state in (CertificateState.REVOKED, CertificateState.ON_HOLD)
    issued = state not in (CertificateState.INTENDED, CertificateState.ABANDONED)
    at = _day(random, 40)
    return {
        **_BARE,
        **random.choice((_persons, _centres))(random),
        "serial": serial,
        "spki_sha256": bytes.fromhex(serial),
        "file_id": random.choice((*FILES, None)),
        "state": state.value,
        "unapproved": random.random() < 0.1,
        "not_before": at,
        "not_after": _day(random, 120),
        "intended_at": at,
        "issued_at": at if issued else None,
        "revoked_at": _day(random, 40) if revoked else None,
        "reason": RevocationReason.SUPERSEDED.value if revoked else None,
    }


def make_rows(seed: int, count: int) -> list[dict[str, Any]]:
    """Make rows whose serial numbers begin with few digits in common."""
    random = Random(seed)  # noqa: S311 - rows, no secrets
    serials = {f"{random.randrange(3):04x}{random.randrange(16**8):08x}" for _ in range(count)}
    return [row(random, serial) for serial in sorted(serials, key=lambda serial: serial[::-1])]


def insert_rows(database: Database, rows: list[dict[str, Any]]) -> None:
    """Write rows, and the files that they name."""
    files = [
        {"id": one, "kind": "clinician", "state": "approved", "holder": "h", "name": "n", "body": b"{}",
         "submitted_by": "clerk", "submitted_at": START, "approvals": 2}
        for one in FILES
    ]  # fmt: skip
    with database.begin() as unit:
        unit.connection.execute(insert(registration_files), files)
        for start in range(0, len(rows), 1000):
            unit.connection.execute(insert(certificates), rows[start : start + 1000])
