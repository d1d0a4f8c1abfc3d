"""`mohr-agent sign`: the fields from the bytes, the consent, the PIN, the card, the signature."""

from pathlib import Path

import click

from cardreader.cards.objects import KeyUsage
from desk.cards import find_key, open_card
from desk.clock import RealClock
from desk.issuers import chain_of
from desk.terminal import ask_consent, last_try_option, pin_source, show_document
from pki.certificates import Certificate, load_certificates
from pki.errors import ErrorCode, InvalidInput, NotFound
from signer.documents import read_document
from signer.formats.choice import SUFFIXES, SignatureFormat, sign_as
from signer.timestamps.client import HttpTimestampClient

MAX_DOCUMENT_OCTETS = 50 * 1024 * 1024


def read_file(path: Path) -> bytes:
    """Read a document; InvalidInput when it is empty, larger than 50 MB or unreadable."""
    try:
        if path.stat().st_size > MAX_DOCUMENT_OCTETS:
            raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, path.name)
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInput(ErrorCode.FILE_UNREADABLE, path.name) from error
    if not data:
        raise InvalidInput(ErrorCode.INPUT_EMPTY, path.name)
    return data


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice([str(form) for form in SignatureFormat]), required=True)
@click.option("--level", type=click.Choice(["B", "T"]), default="B", show_default=True)
@click.option("--tsa", metavar="URL", help="The time-stamping service; needed for level T.")
@click.option("--chain", type=click.Path(path_type=Path), help="Issuer certificates (PEM); else fetched by AIA.")
@click.option("--reader", help="The reader's name; default: the first with a card.")
@click.option("--pin-fd", type=int, help="Read the PIN from this file descriptor instead of the terminal.")
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
    if level == "T" and not tsa:
        raise click.UsageError("level T needs --tsa URL")
    data = read_file(file)
    document = read_document(data)
    show_document(document, file.name)
    with open_card(reader) as card:
        key = find_key(card, KeyUsage.SIGN)
        if key.certificate is None:
            raise NotFound(ErrorCode.CARD_KEY_NOT_FOUND, "the signing key has no certificate yet")
        leaf = Certificate.parse(key.certificate)
        click.echo(f"\n{leaf.subject}", err=True)
        given = load_certificates(read_file(chain)) if chain else ()
        full_chain = chain_of(leaf, given)
        ask_consent(agreed=agreed)
        signed = sign_as(
            SignatureFormat(form),
            data,
            card.signing_key(key, pin_source(pin_fd), last_try_confirmed=last_try),
            full_chain,
            content_type=document.content_type,
            signed_at=RealClock().now(),
            stamper=HttpTimestampClient(tsa) if level == "T" and tsa else None,
        )
    target = output or file.with_name(file.stem + SUFFIXES[SignatureFormat(form)])
    target.write_bytes(signed)
    click.echo(f"{target}", err=True)
