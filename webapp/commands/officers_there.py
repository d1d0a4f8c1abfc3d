"""`mohr ca officer … --server`, `mohr ca realm … --server`: the same acts by a server's routes."""

from pathlib import Path
from typing import Any, Final

from signer.files import read_file
from webapp.commands.options import answer
from webapp.commands.served import in_path
from webapp.officer_client import OfficerClient

OFFICERS: Final = "/api/v1/officers"
REQUESTS: Final = "/api/v1/role-requests"
REALMS: Final = "/api/v1/realms"
MAX_OCTETS: Final = 64 * 1024


def _scope(professions: tuple[str, ...], provinces: tuple[str, ...]) -> dict[str, Any]:
    return {"professions": list(professions) or None, "provinces": list(provinces) or None}


def list_officers(client: OfficerClient) -> None:
    """List officers."""
    for officer in client.get(OFFICERS)["officers"]:
        answer(officer)


def enrol(client: OfficerClient, file: Path) -> None:
    """Enrol an officer."""
    answer(client.post(OFFICERS, read_file(file, limit=MAX_OCTETS)))


def bind(client: OfficerClient, officer_id: str, certificate: Path) -> None:
    """Bind a certificate."""
    text = read_file(certificate, limit=MAX_OCTETS).decode("ascii", "replace")
    answer(client.post(f"{OFFICERS}/{in_path(officer_id)}/certificates", {"pem": text}))


def suspend(client: OfficerClient, officer_id: str, reason: str) -> None:
    """Suspend an officer."""
    answer(client.post(f"{OFFICERS}/{in_path(officer_id)}/suspension", {"reason": reason}))


def restore(client: OfficerClient, officer_id: str) -> None:
    """Let an officer act again."""
    answer(client.post(f"{OFFICERS}/{in_path(officer_id)}/restoration", {}))


def list_requests(client: OfficerClient) -> None:
    """List what waits."""
    for request in client.get(REQUESTS)["requests"]:
        answer(request)


def request_role(
    client: OfficerClient,
    officer_id: str,
    role: str,
    realm: str,
    professions: tuple[str, ...],
    provinces: tuple[str, ...],
) -> None:
    """Ask for a role."""
    body = {"role": role, "realm": realm, **_scope(professions, provinces)}
    answer(client.post(f"{OFFICERS}/{in_path(officer_id)}/roles", body))


def approve_role(client: OfficerClient, request_id: str) -> None:
    """Grant a role."""
    answer(client.post(f"{REQUESTS}/{in_path(request_id)}/approvals", {}))


def refuse_role(client: OfficerClient, request_id: str) -> None:
    """Refuse a role."""
    answer(client.post(f"{REQUESTS}/{in_path(request_id)}/refusal", {}))


def remove_role(client: OfficerClient, officer_id: str, role: str, realm: str) -> None:
    """Take a role away."""
    answer(client.post(f"{OFFICERS}/{in_path(officer_id)}/role-removals", {"role": role, "realm": realm}))


def list_realms(client: OfficerClient) -> None:
    """List the realms."""
    for realm in client.get(REALMS)["realms"]:
        answer(realm)


def add_realm(
    client: OfficerClient,
    realm_id: str,
    parent: str,
    level: str,
    name: str,
    professions: tuple[str, ...],
    provinces: tuple[str, ...],
) -> None:
    """Add a realm."""
    body = {"id": realm_id, "parent": parent, "level": level, "name": name, **_scope(professions, provinces)}
    answer(client.post(REALMS, body))
