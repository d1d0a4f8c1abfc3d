"""The first officers of a pilot: one who asks and two who approve, with keys that lie in HOME.

Their certificates are issued without approvals and say so in their policy; there is nobody yet who could approve.
"""

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


def enrol_founders(parts: Parts, ceremony: str) -> None:
    """Make the pilot's officers: file, key, certificate, roles in the topmost realm."""
    by = Officer.of_deployment(ceremony)
    for officer_id, given_name, surname, roles in FOUNDERS:
        members = {"kind": "officer", "officer_id": officer_id, "given_name": given_name, "surname": surname}
        file = parts.authority.submit_file(compact_json(members), by)
        key = UnsafeSoftKey.generate(SignatureAlgorithm.ES256)
        request = build_csr(key, officer_id)
        issued = parts.authority.issue(ProfileName.OFFICER_AUTH, file.id, request, by.id, unapproved=True)
        folder = officer_folder(parts.deployment, officer_id)
        folder.mkdir(mode=0o700, parents=True)
        write_private(folder / KEY_FILE, key.private_pem())
        write_private(folder / CERTIFICATE_FILE, pem(issued.der).encode())
        parts.officers.found(officer_id, f"{given_name} {surname}", issued.der, roles, by)
