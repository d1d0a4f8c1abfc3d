"""`mohr-gateway`: check a connected centre's access token offline, as a gateway or resource server does.

Needs click and `pki` alone. Exit status of `verify`: 0 accept, 1 refuse, 2 no keys to decide with (silent, not a
no), 3 the command line is wrong or a file cannot be read.
"""

import json
import ssl
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from pki.certificates import load_certificates
from pki.compact_jws import MAX_TOKEN_OCTETS
from pki.errors import InvalidInput, ServiceError
from pki.gateway import verify_access_token
from pki.instants import parse_instant
from pki.programs import ExitStatus, run_program
from webapp import gateway_cache
from webapp.http_client import host_of
from webapp.incidents import keep_trace

MAX_PEM_OCTETS: Final = 256 * 1024
_PATH: Final = click.Path(path_type=Path)


@click.group()
def gateway() -> None:
    """Check access tokens of connected centres, offline.

    Example: mohr-gateway verify @access.jwt --cert centre.pem --cache /var/lib/gateway --json
    """


def _read(path: Path, limit: int) -> bytes:
    """Read up to `limit` octets of a file; an unreadable file is a fault of the command line."""
    try:
        with path.open("rb") as file:
            return file.read(limit)
    except OSError as error:
        raise click.UsageError(f"cannot read {path.name}") from error


def token_bytes(text: str) -> bytes:
    """Take a token from the command line, from `@FILE` or from standard input (`-`), without white space around.

    What is longer than any token is cut off just above the limit, so that it is refused as too large.
    """
    limit = MAX_TOKEN_OCTETS + 64
    if text == "-":
        data = sys.stdin.buffer.read(limit)
    elif text.startswith("@"):
        data = _read(Path(text[1:]), limit)
    else:
        data = text.encode("utf-8", "surrogateescape")
    return data.strip()


def _certificate(path: Path) -> bytes:
    try:
        return load_certificates(_read(path, MAX_PEM_OCTETS))[0].der
    except InvalidInput as error:
        raise click.UsageError(f"{path.name} holds no certificate") from error


def _instant(_context: click.Context, _parameter: click.Parameter, value: str | None) -> datetime:
    if value is None:
        return datetime.now(UTC)
    try:
        return parse_instant(value)
    except InvalidInput as error:
        raise click.BadParameter(error.detail) from error


def _issuer(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        try:
            host_of(value)
        except InvalidInput as error:
            raise click.BadParameter(error.detail) from error
    return value


_SILENT: Final = {"token_exp": None, "keys_as_of": None, "keys_age_s": None, "claims": None}


def _known(cache: Path, issuer: str | None) -> gateway_cache.KnownIssuer | str:
    """Return what is known of the issuer, or why nothing is."""
    try:
        known = gateway_cache.load(cache)
    except ServiceError:
        return "keys-unreadable"
    if known is None:
        return "no-keys"
    return known if issuer in (None, known.issuer) else "keys-of-another-issuer"


def _say(document: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False))
        return
    reasons = ", ".join(document["reasons"])
    click.echo(document["decision"] + (f": {reasons}" if reasons else ""))
    if document["keys_as_of"]:
        click.echo(f"keys as of {document['keys_as_of']} ({document['keys_age_s']} s old)", err=True)


@gateway.command()
@click.argument("token")
@click.option("--cert", type=_PATH, required=True, help="The client certificate of the connection, PEM or DER.")
@click.option("--cache", type=_PATH, required=True, help="The folder that `fetch` keeps.")
@click.option("--issuer", metavar="URL", callback=_issuer, help="Who must have issued it. [default: the cached issuer]")
@click.option("--audience", metavar="ID", help="Who we are. [default: the issuer's only protected resource]")
@click.option("--at", metavar="RFC3339", callback=_instant, help="The instant to decide for. [default: now]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def verify(
    token: str, cert: Path, cache: Path, issuer: str | None, audience: str | None, at: datetime, *, as_json: bool
) -> int:
    """Decide about TOKEN (`-`: standard input, `@FILE`: a file) for a connection with the certificate CERT.

    Example: mohr-gateway verify @access.jwt --cert centre.pem --cache /var/lib/gateway --json

    Exit status: 0 accept, 1 refuse, 2 there are no keys to decide with, 3 the command line is wrong.
    """
    presented, certificate_der = token_bytes(token), _certificate(cert)
    known = _known(cache, issuer)
    if isinstance(known, str):
        _say({"decision": "silent", "reasons": [known], **_SILENT}, as_json=as_json)
        return ExitStatus.UNAVAILABLE
    own = audience or known.sole_audience
    if own is None:
        raise click.UsageError("--audience is needed: the issuer protects more than one resource, or names none")
    decision = verify_access_token(presented, known.keys, known.issuer, own, certificate_der, at)
    _say(decision.document(at), as_json=as_json)
    return ExitStatus.OK if decision.accepted else ExitStatus.REFUSED


@gateway.command()
@click.option("--issuer", metavar="URL", required=True, callback=_issuer, help="The issuer of access tokens.")
@click.option("--cache", type=_PATH, required=True, help="The folder to keep metadata and keys in.")
@click.option("--cacert", type=_PATH, help="Trust anchors of the issuer's TLS, PEM. [default: the system's]")
def fetch(issuer: str, cache: Path, cacert: Path | None) -> None:
    """Fetch an issuer's metadata and keys; what is cached stays when it does not answer (exit status 2).

    Example: mohr-gateway fetch --issuer https://mohr.example --cache /var/lib/gateway
    """
    known = gateway_cache.fetch(issuer, cache, datetime.now(UTC).replace(microsecond=0), tls_context(cacert))
    click.echo(json.dumps({"issuer": issuer, "keys": [key.kid for key in known.keys.keys]}))


def tls_context(cacert: Path | None) -> ssl.SSLContext:
    """Return a TLS client context that trusts `cacert`, or the system's anchors."""
    try:
        return ssl.create_default_context(cafile=cacert)
    except (OSError, ssl.SSLError) as error:
        raise click.UsageError("--cacert holds no trust anchors") from error


def main() -> NoReturn:
    """Run the program and end the process."""
    run_program(gateway, None, keep_trace)


if __name__ == "__main__":
    main()
