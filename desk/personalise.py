"""`mohr-agent personalise`: a key made on the card, its request signed by it, its certificate written back."""

from pathlib import Path

import click

from cardreader.cards.objects import KeyUsage
from desk.cards import find_key, open_card
from desk.signing import read_file
from desk.terminal import ask_pin
from pki.certificates import load_certificates
from pki.csr import build_csr
from pki.keys import SignatureAlgorithm

_USAGE = click.option("--usage", type=click.Choice(["sign", "auth"]), default="sign", show_default=True)
_READER = click.option("--reader", help="The reader's name; default: the first with a card.")
_PIN_FD = click.option("--pin-fd", type=int, help="Read the PIN from this file descriptor.")


@click.group()
def personalise() -> None:
    """Make keys on the card and write their certificates. Example: mohr-agent personalise keygen --csr rx.csr."""


@personalise.command()
@_USAGE
@_READER
@_PIN_FD
@click.option("--algorithm", type=click.Choice(["ES256", "RS256"]), default="ES256", show_default=True)
@click.option("--csr", "csr_file", type=click.Path(path_type=Path), required=True, help="Where the request goes.")
@click.option("--replace", is_flag=True, help="Destroy the key and certificate that are there.")
def keygen(
    usage: str,
    reader: str | None,
    pin_fd: int | None,
    algorithm: str,
    csr_file: Path,
    replace: bool,  # noqa: FBT001 - click passes options by name
) -> None:
    """Generate a key pair on the card and have it sign a certificate request.

    Example: mohr-agent personalise keygen --usage sign --csr sign.csr
    """
    with open_card(reader) as card, ask_pin("PIN", pin_fd) as pin:
        card.generate_key(KeyUsage(usage), SignatureAlgorithm(algorithm), pin, replace=replace)
        key = find_key(card, KeyUsage(usage))
        request = build_csr(card.signing_key(key, pin), f"mohr {usage} key {card.serial}")
    csr_file.write_bytes(request)
    click.echo(f"{csr_file}", err=True)


@personalise.command()
@_USAGE
@_READER
@_PIN_FD
@click.argument("certificate_file", type=click.Path(path_type=Path))
def write(usage: str, reader: str | None, pin_fd: int | None, certificate_file: Path) -> None:
    """Write the issued certificate onto the card, if it is for the card's key.

    Example: mohr-agent personalise write --usage sign sign.pem
    """
    certificate = load_certificates(read_file(certificate_file))[0]
    with open_card(reader) as card:
        key = find_key(card, KeyUsage(usage))
        with ask_pin("PIN", pin_fd) as pin:
            card.write_certificate(key.key_id, certificate.der, pin)
    click.echo(certificate.subject, err=True)
