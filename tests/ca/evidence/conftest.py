"""A desk of evidence, with scans that are what their first octets say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from typing import Any

import pytest

from ca.evidence.desk import EvidenceDesk
from ca.evidence.records import Attachment
from ca.evidence.repository import OF_FILES
from ca.evidence.sealing import KeySealer
from ca.evidence.store import ScanStore
from ca.officers.gate import OfficerGate
from ca.officers.identity import Officer
from ca.profiles import HolderKind
from ca.registration import RegistrationFile
from ca.registration_desk import RegistrationDesk
from ca.registration_terms import RegistrationTerms
from hsm.soft import UnsafeSoftKeys
from storage.engine import Database
from tests.ca.world import CLERK, CLINICIAN, SETTINGS, FakeClock, file_json
from tests.support.officers import EveryOfficer

PDF, JPEG, PNG = (magic + b" a scan" for magic in (b"%PDF-1.7", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n"))
KEY = bytes(range(32))


def digest_of(scan: bytes) -> str:
    return sha256(scan).hexdigest()


def naming(*scans: bytes, **members: Any) -> bytes:
    """A registration that names these scans."""
    named = [{"what": "کارت ملی", "sha256": digest_of(scan)} for scan in scans]
    return file_json({**CLINICIAN, **members, "evidence": named})


@dataclass
class Archive:
    """A desk of evidence beside one of registrations, whose clinicians' files need what they name."""

    database: Database
    clock: FakeClock = field(default_factory=FakeClock)
    gate: OfficerGate = field(default_factory=EveryOfficer)
    key: bytes = KEY
    check_room: Callable[[], object] = lambda: None

    @property
    def desk(self) -> EvidenceDesk:
        sealer = KeySealer(lambda: self.key)
        store = ScanStore(OF_FILES, self.clock, sealer, check_room=self.check_room)
        return EvidenceDesk(self.database, self.gate, self.clock, store)

    @property
    def registrations(self) -> RegistrationDesk:
        terms = RegistrationTerms(evidence_kinds=frozenset({HolderKind.CLINICIAN}))
        keys = UnsafeSoftKeys(self.clock)
        return RegistrationDesk(self.database, keys, SETTINGS, self.clock, gate=self.gate, registration=terms)

    def submitted(self, *scans: bytes, by: Officer = CLERK, **members: Any) -> RegistrationFile:
        return self.registrations.submit_file(naming(*scans, **members), by)

    def attach(self, file: RegistrationFile, scan: bytes, by: Officer = CLERK) -> Attachment:
        return self.desk.attach(file.id, digest_of(scan), BytesIO(scan), by)


@pytest.fixture
def archive(make_database: Callable[[], Database]) -> Archive:
    """An archive without a scan, on one engine and then on the other."""
    return Archive(make_database())
