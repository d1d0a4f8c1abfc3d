"""`mohr sign`: sign a file with a key of the service or of a file; a card signs through `mohr-agent sign`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from hsm.custody import open_key
from hsm.key_uri import FileUri, TransitUri, parse_key_uri
from pki.certificates import Certificate, load_certificates
from pki.errors import ErrorCode, InvalidInput
from pki.keys import SigningKey
from signer.documents import read_document
from signer.files import check_writable, is_same_file, read_file, write_file
from signer.formats.choice import SUFFIXES, SignatureFormat, sign_as
from signer.timestamps.client import HttpTimestampClient
from webapp.commands.options import file_argument, home_option, output_option, say
from webapp.compose import RealClock, opened_parts
from webapp.deployment import Deployment


@contextmanager
def opened_key(deployment: Deployment, uri: str) -> Iterator[tuple[SigningKey, tuple[Certificate, ...]]]:
    """Open a key by its URI with the certificate that the deployment knows for it, if any."""
    parsed = parse_key_uri(uri)
    if isinstance(parsed, FileUri):
        production = deployment.exists() and deployment.settings().production
        yield open_key(uri, production=production), ()
        return
    with opened_parts(deployment) as parts:
        label = parsed.name if isinstance(parsed, TransitUri) else parsed.object
        known = None if label is None else parts.authority.named_certificate(label)
        yield open_key(uri, provider=parts.keys), () if known is None else (Certificate.parse(known),)


@click.command()
@home_option
@output_option
@file_argument
@click.option("--format", "form", type=click.Choice([*map(str, SignatureFormat)]), required=True)
@click.option("--level", type=click.Choice(["B", "T", "LT", "LTA"]), default="B", show_default=True)
@click.option("--key", "key_uri", required=True, metavar="URI", help="pkcs11:object=LABEL or file:PATH (tests).")
@click.option("--cert", type=click.Path(path_type=Path), help="The signer's certificate with its issuers, PEM.")
@click.option("--tsa", metavar="URL", help="The time-stamping service; default: the deployment's.")
def sign(
    deployment: Deployment,
    output: Path | None,
    file: Path,
    form: str,
    level: str,
    key_uri: str,
    cert: Path | None,
    tsa: str | None,
) -> None:
    """Sign the exact bytes of FILE.

    Example: mohr sign report.pdf --format pades --key file:seal.key --cert seal.pem -o report.signed.pdf
    """
    if level in ("LT", "LTA"):
        raise InvalidInput(ErrorCode.DOCUMENT_UNSIGNABLE, f"{form} at level {level} is not built yet")
    data = read_file(file)
    target = output or file.with_name(file.stem + SUFFIXES[SignatureFormat(form)])
    if is_same_file(target, file):
        raise click.UsageError("the signature would take the place of the document")
    check_writable(target)
    document = read_document(data)
    given = load_certificates(read_file(cert)) if cert else ()
    stamper = None
    if level == "T":
        stamper = HttpTimestampClient(tsa or f"{deployment.settings().public_url}/tsa")
    with opened_key(deployment, key_uri) as (key, known):
        chain = given or known
        if not chain:
            raise click.UsageError("this key needs --cert")
        signed = sign_as(
            SignatureFormat(form),
            data,
            key,
            chain,
            content_type=document.content_type,
            signed_at=RealClock().now(),
            stamper=stamper,
        )
    write_file(target, signed)
    say(str(target))
