"""`mohr-agent sign`: the fields from the bytes, the consent, the PIN, the card, the signature."""

from pathlib import Path

import click

from cardreader.cards.objects import KeyUsage
from desk.cards import find_key, open_card, reader_option
from desk.clock import RealClock
from desk.issuers import chain_of
from desk.terminal import ask_consent, last_try_option, pin_fd_option, pin_source, show_document, shown
from pki.certificates import Certificate, load_certificates
from pki.errors import ErrorCode, NotFound
from signer.documents import read_document
from signer.files import check_writable, is_same_file, read_file, write_file
from signer.formats.choice import SUFFIXES, SignatureFormat, sign_as
from signer.timestamps.client import HttpTimestampClient


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice([str(form) for form in SignatureFormat]), required=True)
@click.option("--level", type=click.Choice(["B", "T"]), default="B", show_default=True)
@click.option("--tsa", metavar="URL", help="The time-stamping service; needed for level T.")
@click.option("--chain", type=click.Path(path_type=Path), help="Issuer certificates (PEM); else fetched by AIA.")
@reader_option
@pin_fd_option
@last_try_option
@click.option("--yes", "agreed", is_flag=True, help="Do not ask; for programs that have asked already.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Where to write; default: beside the file.")
def sign(
    file: Path,
    form: str,
    level: str,
    tsa: str | None,
    chain: Path | None,
    reader: str | None,
    pin_fd: int | None,
    last_try: bool,  # noqa: FBT001 - click passes options by name
    agreed: bool,  # noqa: FBT001 - click passes options by name
    output: Path | None,
) -> None:
    """Show what FILE says, ask for consent and PIN, and sign its exact bytes with the card.

    Example: mohr-agent sign rx.json --format jades --level T --tsa http://127.0.0.1:8440/tsa
    """
    if (level == "T") != (tsa is not None):
        raise click.UsageError("level T needs --tsa URL, level B takes none")
    data = read_file(file)
    target = output or file.with_name(file.stem + SUFFIXES[SignatureFormat(form)])
    if is_same_file(target, file):
        raise click.UsageError("the signature would take the place of the document")
    check_writable(target)
    stamper = None if tsa is None else HttpTimestampClient(tsa)
    given = () if chain is None else load_certificates(read_file(chain))
    document = read_document(data)
    show_document(document, file.name)
    with open_card(reader) as card:
        key = find_key(card, KeyUsage.SIGN)
        if key.certificate is None:
            raise NotFound(ErrorCode.CARD_KEY_NOT_FOUND, "the signing key has no certificate yet")
        leaf = Certificate.parse(key.certificate)
        click.echo(f"\n{shown(leaf.subject)}", err=True)
        full_chain = chain_of(leaf, given)
        ask_consent(agreed=agreed)
        signed = sign_as(
            SignatureFormat(form),
            data,
            card.signing_key(key, pin_source(pin_fd), last_try_confirmed=last_try),
            full_chain,
            content_type=document.content_type,
            signed_at=RealClock().now(),
            stamper=stamper,
        )
    write_file(target, signed)
    click.echo(f"{target}", err=True)
