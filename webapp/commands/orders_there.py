"""`mohr ca issue|renew|replace --server`: certificates ordered by a server's routes."""

from base64 import b64encode
from pathlib import Path
from secrets import token_urlsafe
from typing import Any, Final

import click

from ca.inventory.search import parse_serial
from ca.issuing.orders import IssueOrder
from pki.csr import MAX_CSR_OCTETS
from signer.files import read_file, write_file
from webapp.commands.options import answer
from webapp.commands.status_changes import hyphenless
from webapp.officer_client import OfficerClient

PATH: Final = "/api/v1/certificates"


def _body(csr_file: Path, key_proof: tuple[str, str] | None) -> dict[str, Any]:
    csr = read_file(csr_file, limit=MAX_CSR_OCTETS)
    is_pem = csr.lstrip().startswith(b"-----BEGIN")
    body: dict[str, Any] = {"csr": csr.decode("ascii", "replace") if is_pem else b64encode(csr).decode()}
    if key_proof is not None:
        body["key_proof"] = {"nonce": key_proof[0], "card": key_proof[1], "generated_on_card": True}
    return body


def _order(
    client: OfficerClient, path: str, body: dict[str, Any], idempotency_key: str | None, output: Path | None
) -> dict[str, Any]:
    """Order a certificate under the key given, or one that was never used."""
    key = token_urlsafe() if idempotency_key is None else idempotency_key
    IssueOrder(profile="", file_id="", csr=b"", actor="", idempotency_key=key)  # refuses a key that is none
    issued = client.post(path, body, {"Idempotency-Key": key})
    if output is not None:
        write_file(output, str(issued.get("pem")).encode())
    return issued


def issue(
    client: OfficerClient,
    output: Path | None,
    profile: str,
    file_id: str,
    csr_file: Path,
    unapproved_pilot: bool,  # noqa: FBT001 - click passes options by name
    lint_first: bool,  # noqa: FBT001 - click passes options by name
    idempotency_key: str | None,
    key_proof: tuple[str, str] | None,
) -> None:
    """Issue a certificate."""
    if unapproved_pilot:
        raise click.UsageError("no server issues without approvals")
    body = {"profile": profile, "file": file_id, "lint": "before" if lint_first else None}
    answer(_order(client, PATH, body | _body(csr_file, key_proof), idempotency_key, output))


def _succeed(client: OfficerClient, serial: str, act: str, body: dict[str, Any], **order: Any) -> None:
    wanted = parse_serial(serial)
    issued = _order(client, f"{PATH}/{wanted}/{act}", body, **order)
    answer({**issued, "predecessor": wanted})


def renew(
    client: OfficerClient,
    output: Path | None,
    serial: str,
    csr_file: Path,
    idempotency_key: str | None,
    key_proof: tuple[str, str] | None,
    silence_reason: str | None,
) -> None:
    """Renew a certificate."""
    body = {**_body(csr_file, key_proof), "silence_reason": silence_reason}
    _succeed(client, serial, "renewal", body, idempotency_key=idempotency_key, output=output)


def replace(
    client: OfficerClient,
    output: Path | None,
    serial: str,
    csr_file: Path,
    idempotency_key: str | None,
    key_proof: tuple[str, str] | None,
    silence_reason: str | None,
    reason: str,
) -> None:
    """Replace a certificate."""
    body = {**_body(csr_file, key_proof), "silence_reason": silence_reason, "reason": hyphenless(reason)}
    _succeed(client, serial, "replacement", body, idempotency_key=idempotency_key, output=output)
