"""`mohr ca file … --server`: the same acts by a server's routes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from signer.files import read_file
from webapp.commands.options import answer
from webapp.commands.served import in_path
from webapp.officer_client import OfficerClient

PATH: Final = "/api/v1/registrations"
MAX_FILE_OCTETS: Final = 64 * 1024
_SHORT: Final = ("id", "state", "kind")


def _tell(file: Mapping[str, Any], *more: str) -> None:
    """Print what the command prints of a file."""
    answer({name: file.get(name) for name in (*_SHORT, *more)})


def _act(client: OfficerClient, file_id: str, act: str, body: Mapping[str, Any]) -> dict[str, Any]:
    return client.post(f"{PATH}/{in_path(file_id)}/{act}", body)


def _bring(client: OfficerClient, file: Path, query: Mapping[str, str | None]) -> None:
    asked = urlencode({name: value for name, value in query.items() if value is not None}, errors="replace")
    _tell(client.post(PATH + (f"?{asked}" if asked else ""), read_file(file, limit=MAX_FILE_OCTETS)))


def submit(client: OfficerClient, previous: str | None, file: Path) -> None:
    """Put a registration before the approvers."""
    _bring(client, file, {"previous": previous})


def draft(client: OfficerClient, previous: str | None, file: Path) -> None:
    """Keep a registration to submit later."""
    _bring(client, file, {"previous": previous, "draft": "true"})


def present(client: OfficerClient, file_id: str) -> None:
    """Submit one's own draft."""
    _tell(_act(client, file_id, "submission", {}))


def check(client: OfficerClient, file_id: str) -> None:
    """Ask the registries again."""
    _tell(_act(client, file_id, "checks", {}), "registries")


def approve(client: OfficerClient, accept_silence: str | None, file_id: str) -> None:
    """Give one of the two approvals."""
    _tell(_act(client, file_id, "approvals", {"silence_reason": accept_silence}))


def refuse(client: OfficerClient, file_id: str, reason: str) -> None:
    """Refuse a file for good."""
    _tell(_act(client, file_id, "refusal", {"reason": reason}))


def withdraw(client: OfficerClient, file_id: str) -> None:
    """Take back one's own file."""
    _tell(_act(client, file_id, "withdrawal", {}))


def show(client: OfficerClient, file_id: str) -> None:
    """Show a file."""
    answer(client.get(f"{PATH}/{in_path(file_id)}"))


def est_secret(client: OfficerClient, file_id: str, days: int) -> None:
    """Make the one-time secret of a file."""
    answer(_act(client, file_id, "est-secret", {"days": days}))
