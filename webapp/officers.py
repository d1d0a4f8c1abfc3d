"""Officers at the command line: a key and a certificate sign what is to be done, and the gate takes the statement.

The keys of a pilot's own officers lie in `HOME/officers/ID`, readable by their owner alone. Every other officer
brings key and certificate along.
"""

import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ca.officers.desk import OfficerDesk
from ca.officers.gate import OfficerGate
from ca.officers.identity import ROLES_FOR, Act, Officer
from ca.officers.records import OfficerState
from ca.officers.statements import NONCE_OCTETS, sign_statement
from hsm.private_files import read_private
from hsm.soft import MAX_PEM_OCTETS, UnsafeSoftKey
from pki.certificates import Certificate, load_certificates
from pki.clock import Clock
from pki.errors import ErrorCode, InvalidInput, NotAllowed, NotFound
from signer.files import read_file
from webapp.deployment import Deployment

_ID: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?")
KEY_FILE: Final = "key.pem"
CERTIFICATE_FILE: Final = "certificate.pem"


def officer_folder(deployment: Deployment, officer_id: str) -> Path:
    """Return where a pilot officer's key and certificate lie; InvalidInput (`identity-invalid`) for no such id."""
    if not _ID.fullmatch(officer_id):
        raise InvalidInput(
            ErrorCode.IDENTITY_INVALID, "an officer's id is 1 to 64 small letters, digits, dots, hyphens"
        )
    return deployment.officers / officer_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Signatory:
    """Whose key signs a command: the officer's files, and the id that was named, if one was."""

    key_file: Path
    certificate_file: Path
    named: str | None

    @classmethod
    def of(cls, deployment: Deployment, named: str | None, key: Path | None, certificate: Path | None) -> "Signatory":
        """Take the files given, else those that the deployment keeps of the officer named."""
        if key is not None and certificate is not None:
            return cls(key_file=key, certificate_file=certificate, named=named)
        folder = officer_folder(deployment, named or "")
        return cls(key_file=folder / KEY_FILE, certificate_file=folder / CERTIFICATE_FILE, named=named)

    def say(self, gate: OfficerGate, clock: Clock, act: Act, *, subject: str = "", digest: str = "") -> Officer:
        """Sign that `act` is to be done on `subject` and return the officer; NotAllowed as the gate's.

        NotAllowed (`officer-unknown`) too where there is no such key or its certificate is another officer's.
        """
        key, certificate = self.load()
        signed = sign_statement(
            key,
            act.value,
            subject=subject,
            sha256=digest,
            now=clock.now(),
            random=secrets.token_bytes(NONCE_OCTETS),
        )
        officer = gate.of_statement(signed.data, signed.signature, certificate.der)
        if self.named not in (None, officer.id):
            raise NotAllowed(
                ErrorCode.OFFICER_UNKNOWN, "the certificate is another officer's", reason="officer.unknown"
            )
        return officer

    def load(self) -> tuple[UnsafeSoftKey, Certificate]:
        """Read key and certificate; InvalidInput, and NotAllowed where a deployment keeps no key of whom was named."""
        try:
            key = UnsafeSoftKey.from_pem(bytes(read_private(self.key_file, MAX_PEM_OCTETS)))
            return key, load_certificates(read_file(self.certificate_file, limit=MAX_PEM_OCTETS))[0]
        except InvalidInput as error:
            if self.named is not None and not self.key_file.exists():
                raise NotAllowed(
                    ErrorCode.OFFICER_UNKNOWN,
                    "this deployment keeps no such officer's key",
                    reason="officer.no-certificate",
                ) from error
            raise


def kept_signatory(deployment: Deployment, register: OfficerDesk, act: Act) -> Signatory:
    """Return the first officer, by id, whose key the deployment keeps and whose role allows `act` now.

    NotAllowed (`officer-unknown`) where there is none.
    """
    for officer_id in sorted(path.parent.name for path in deployment.officers.glob(f"*/{KEY_FILE}")):
        with suppress(NotFound):
            record = register.officer(officer_id)
            if record.state is OfficerState.ACTIVE and any(one.role in ROLES_FOR[act] for one in record.grants):
                return Signatory.of(deployment, officer_id, None, None)
    raise NotAllowed(
        ErrorCode.OFFICER_UNKNOWN,
        f"name an officer: this deployment keeps no key of one who may do {act}",
        reason="officer.no-certificate",
    )
