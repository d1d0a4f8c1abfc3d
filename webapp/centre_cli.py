"""`mohr centre`: what a centre's own machine does with a connection token. Needs neither server nor database."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki.certificates import Certificate, load_certificates
from pki.csr import build_csr
from pki.errors import ErrorCode, InvalidInput
from pki.jose import json_object
from pki.programs import ExitStatus
from webapp.centre_client import Centre, CentreKey, call, client_id_of, mutual_tls
from webapp.gateway_cli import tls_context, token_bytes
from webapp.http_client import HttpAnswer

MAX_FILE_OCTETS: Final = 256 * 1024
MAX_PASSPHRASE_OCTETS: Final = 1024
_PATH: Final = click.Path(path_type=Path)
_Command = TypeVar("_Command", bound=Callable[..., Any])


@click.group()
def centre() -> None:
    """Connect a centre: make its key, prove it, get access tokens, call protected addresses.

    Example: mohr centre keygen --out centre.key --csr centre.csr
    """


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_OCTETS + 1)
    except OSError as error:
        raise InvalidInput(ErrorCode.FILE_UNREADABLE, path.name) from error
    if len(data) > MAX_FILE_OCTETS:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, path.name)
    return data


def _passphrase(path: Path | None) -> bytes | None:
    """Read the first line of a passphrase file."""
    if path is None:
        return None
    line = _read(path).split(b"\n", 1)[0].rstrip(b"\r")
    if not 0 < len(line) <= MAX_PASSPHRASE_OCTETS:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, f"{path.name}: the first line is the passphrase")
    return line


def _write_new(path: Path, data: bytes, mode: int) -> None:
    """Write a file that does not exist yet: a key is never overwritten."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError as error:
        raise InvalidInput(ErrorCode.CONFLICT, f"{path.name} exists already") from error
    except OSError as error:
        raise InvalidInput(ErrorCode.FILE_UNREADABLE, path.name) from error


passphrase_option = click.option(
    "--passphrase-file", type=_PATH, help="A file whose first line opens the key. [default: the key is not encrypted]"
)
cacert_option = click.option("--cacert", type=_PATH, help="Trust anchors for TLS, PEM. [default: the system's]")


@centre.command()
@click.option("--out", type=_PATH, required=True, help="Where to write the private key; never overwritten.")
@click.option("--csr", type=_PATH, required=True, help="Where to write the certificate request, PEM.")
@click.option("--name", default="hix connection", show_default=True, help="A name for the request; not certified.")
@passphrase_option
def keygen(out: Path, csr: Path, name: str, passphrase_file: Path | None) -> None:
    """Make a P-256 key here and a certificate request for it; the key never leaves this machine.

    Example: mohr centre keygen --out centre.key --csr centre.csr --passphrase-file centre.pass
    """
    passphrase, key = _passphrase(passphrase_file), CentreKey.generate()
    try:
        request = x509.load_der_x509_csr(build_csr(key, name)).public_bytes(Encoding.PEM)
    except ValueError as error:
        raise InvalidInput(ErrorCode.IDENTITY_INVALID, "a name has 1 to 64 characters") from error
    _write_new(csr, request, 0o644)  # first: a request without its key is harmless, a key without its request is not
    try:
        _write_new(out, key.pem(passphrase), 0o600)
    except InvalidInput:
        csr.unlink()
        raise
    click.echo(json.dumps({"key": str(out), "csr": str(csr), "encrypted": passphrase is not None}))


def client_options(command: _Command) -> _Command:
    """Say who asks whom."""
    for option in (
        passphrase_option,
        click.option("--client-id", metavar="ID", help="The connection token's id. [default: the certificate's]"),
        click.option("--cert", type=_PATH, required=True, help="The centre's certificate."),
        click.option("--key", type=_PATH, required=True, help="The centre's private key, PEM."),
        click.option("--issuer", metavar="URL", required=True, help="The issuer of access tokens."),
    ):
        command = option(command)
    return command


def _client(key: Path, cert: Path, client_id: str | None, passphrase: bytes | None) -> Centre:
    certificate: Certificate = load_certificates(_read(cert))[0]
    found = client_id or client_id_of(certificate)
    if found is None:
        raise click.UsageError("--client-id is needed: the certificate names no connection token")
    if not found.isascii():
        raise click.UsageError("a client id is ASCII text")  # nor could it travel in an assertion
    return Centre(client_id=found, key=CentreKey.load(_read(key), passphrase), certificate=certificate)


@centre.command()
@client_options
def assertion(issuer: str, key: Path, cert: Path, client_id: str | None, passphrase_file: Path | None) -> None:
    """Print one proof of who we are (private_key_jwt), for another HTTP client; it works once, for a minute.

    Example: mohr centre assertion --issuer https://mohr.example --key centre.key --cert centre.pem
    """
    client = _client(key, cert, client_id, _passphrase(passphrase_file))
    click.echo(client.assertion(issuer, datetime.now(UTC)))


@centre.command()
@client_options
@cacert_option
@click.option("--scope", metavar="SCOPES", help="Scopes, separated by spaces. [default: everything allowed]")
@click.option("--mtls", "mutual", is_flag=True, help="Ask over mutual TLS.")
def token(
    issuer: str,
    key: Path,
    cert: Path,
    client_id: str | None,
    passphrase_file: Path | None,
    cacert: Path | None,
    scope: str | None,
    *,
    mutual: bool,
) -> int:
    """Ask for an access token; print the issuer's answer as JSON. Exit status 1 when it refuses.

    Example: mohr centre token --issuer https://mohr.example --key centre.key --cert centre.pem --scope hix.submit
    """
    passphrase, tls = _passphrase(passphrase_file), tls_context(cacert)
    client = _client(key, cert, client_id, passphrase)
    if mutual:
        mutual_tls(tls, cert, key, passphrase)
    status, members = client.ask_token(issuer, scope, datetime.now(UTC), tls, mutual=mutual)
    click.echo(json.dumps(members, ensure_ascii=False))
    return _exit_status(status)


@centre.command("call")
@click.argument("url")
@click.option("--token", "presented", required=True, metavar="TOKEN", help="The access token, `@FILE` or `-`.")
@click.option("--key", type=_PATH, help="The centre's private key, PEM.")
@click.option("--cert", type=_PATH, help="The centre's certificate, PEM.")
@passphrase_option
@cacert_option
def call_command(
    url: str, presented: str, key: Path | None, cert: Path | None, passphrase_file: Path | None, cacert: Path | None
) -> int:
    """GET a protected URL with an access token over mutual TLS; print status and body as JSON.

    Example: mohr centre call https://exchange.example/echo --token @access.jwt --key centre.key --cert centre.pem
    """
    if (key is None) != (cert is None):
        raise click.UsageError("--key and --cert go together")
    tls = tls_context(cacert)
    if key is not None and cert is not None:
        mutual_tls(tls, cert, key, _passphrase(passphrase_file))
    try:
        access_token = token_bytes(presented).decode("ascii")
    except UnicodeDecodeError as error:
        raise click.UsageError("an access token is ASCII text") from error
    if not access_token.isprintable() or not access_token:
        raise click.UsageError("an access token is one line of text")
    answer = call(url, access_token, tls)
    click.echo(json.dumps({"status": answer.status, "body": _body(answer)}, ensure_ascii=False))
    return _exit_status(answer.status)


def _body(answer: HttpAnswer) -> object:
    try:
        return json_object(answer.body)
    except InvalidInput:
        return answer.body.decode("utf-8", "replace")


def _exit_status(status: int) -> int:
    if 200 <= status < 300:
        return ExitStatus.OK
    return ExitStatus.UNAVAILABLE if status >= 500 else ExitStatus.REFUSED
