"""Who may hand out the one-time secret of a registration file: an officer who may issue for it."""

from datetime import timedelta

from ca.est.secrets import LIFE, EnrolmentSecret, EnrolmentSecrets
from ca.officers.gate import OfficerGate
from ca.officers.identity import Act, Officer
from ca.registration import RegistrationFile
from pki.clock import Clock
from storage.engine import Database
from storage.unit_of_work import UnitOfWork


class SecretDesk:
    """Enrolment secrets for officers; safe to share between threads."""

    def __init__(self, database: Database, gate: OfficerGate, clock: Clock) -> None:
        self._secrets, self._gate = EnrolmentSecrets(database, clock), gate

    def make(self, file_id: str, officer: Officer, life: timedelta = LIFE) -> EnrolmentSecret:
        """Make the secret of a file, in place of the one before; errors as `EnrolmentSecrets.make`, NotAllowed."""

        def allow(unit: UnitOfWork, file: RegistrationFile) -> None:
            scope, act = file.registration.scope, Act.SECRET_MAKE
            self._gate.allow(officer, act, scope, unit, realm=file.realm, subject=file.id, digest=file.digest)

        return self._secrets.make(file_id, officer.id, life, allow=allow)
