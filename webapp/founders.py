"""The first officers of a deployment; a pilot's are one who asks and two who approve, with keys that lie in HOME.

Their certificates are issued without approvals and say so in their policy; there is nobody yet who could approve.
"""

from dataclasses import dataclass
from typing import Final

from ca.officers.identity import Officer, Role
from ca.profiles import ProfileName
from hsm.private_files import write_private
from hsm.soft import UnsafeSoftKey
from pki.certificates import pem
from pki.csr import build_csr
from pki.jose import compact_json
from pki.keys import SignatureAlgorithm
from webapp.compose import Parts
from webapp.officers import CERTIFICATE_FILE, KEY_FILE, officer_folder

_ASKS: Final = (Role.REGISTRAR, Role.ISSUER, Role.ADMINISTRATOR)
_APPROVES: Final = (Role.APPROVER, Role.REVOKER, Role.AUDITOR, Role.ADMINISTRATOR)
FOUNDERS: Final = (
    ("clerk-parsa", "پارسا", "نمونه‌ای", _ASKS),
    ("officer-akbari", "مریم", "اکبری نمونه", _APPROVES),
    ("officer-bahrami", "رضا", "بهرامی نمونه", _APPROVES),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Founder:
    """One of the first officers."""

    officer_id: str
    given_name: str
    surname: str
    roles: tuple[Role, ...]


def enrol_founders(parts: Parts, ceremony: str) -> None:
    """Make the pilot's officers: file, key, certificate, roles in the topmost realm."""
    for officer_id, given_name, surname, roles in FOUNDERS:
        key = UnsafeSoftKey.generate(SignatureAlgorithm.ES256)
        founder = Founder(officer_id=officer_id, given_name=given_name, surname=surname, roles=roles)
        certificate = found_officer(parts, founder, build_csr(key, officer_id), ceremony)
        folder = officer_folder(parts.deployment, officer_id)
        folder.mkdir(mode=0o700, parents=True)
        write_private(folder / KEY_FILE, key.private_pem())
        write_private(folder / CERTIFICATE_FILE, pem(certificate).encode())


def found_officer(parts: Parts, founder: Founder, csr: bytes, ceremony: str) -> bytes:
    """Enrol one of the first officers with a certificate for the key of a request; return the certificate (DER).

    Conflict once there are three; errors of registration and issuance.
    """
    by = Officer.of_deployment(ceremony)
    parts.officers.check_founding()
    members = {
        "kind": "officer",
        "officer_id": founder.officer_id,
        "given_name": founder.given_name,
        "surname": founder.surname,
    }
    file = parts.authority.submit_file(compact_json(members), by)
    issued = parts.authority.issue(ProfileName.OFFICER_AUTH, file.id, csr, by.id, unapproved=True)
    name = f"{founder.given_name} {founder.surname}"
    parts.officers.found(founder.officer_id, name, issued.der, founder.roles, by)
    return issued.der
