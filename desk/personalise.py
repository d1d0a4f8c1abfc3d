"""`mohr-agent personalise`: a key made on the card, its request signed by it, its certificate written back."""

from pathlib import Path

import click

from cardreader.cards.base import CardKey, SmartCard
from desk.cards import find_key, open_card
from desk.signing import read_file
from desk.terminal import ask_pin
from pki.certificates import Certificate, load_certificates
from pki.csr import build_csr
from pki.errors import ErrorCode, InvalidInput
from pki.keys import SignatureAlgorithm

_USAGE = click.option("--usage", type=click.Choice(["sign", "auth"]), default="sign", show_default=True)
_READER = click.option("--reader", help="The reader's name; default: the first with a card.")
_PIN_FD = click.option("--pin-fd", type=int, help="Read the PIN, a line for each use, from this file descriptor.")


@click.group()
def personalise() -> None:
    """Make keys on the card and write their certificates. Example: mohr-agent personalise keygen --csr rx.csr."""


@personalise.command()
@_USAGE
@_READER
@_PIN_FD
@click.option("--algorithm", type=click.Choice(["ES256", "RS256"]), default="ES256", show_default=True)
@click.option("--csr", "csr_file", type=click.Path(path_type=Path), required=True, help="Where the request goes.")
def keygen(usage: str, reader: str | None, pin_fd: int | None, algorithm: str, csr_file: Path) -> None:
    """Generate a key pair on the card and have it sign a certificate request.

    Example: mohr-agent personalise keygen --usage sign --csr sign.csr
    """
    with open_card(reader) as card:
        with ask_pin("PIN", pin_fd) as pin:
            card.generate_key(usage, SignatureAlgorithm(algorithm), pin)
        key = find_key(card, usage)
        with ask_pin("PIN", pin_fd) as pin:
            request = build_csr(card.signing_key(key, pin), f"mohr {usage} key {card.serial}")
    csr_file.write_bytes(request)
    click.echo(f"{csr_file}", err=True)


def _check_key(card: SmartCard, key: CardKey, certificate: Certificate) -> None:
    if card.public_key_der(key) != certificate.spki_der:
        raise InvalidInput(ErrorCode.CARD_SIGNATURE_MISMATCH, "the certificate is for another key")


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
        key = find_key(card, usage)
        _check_key(card, key, certificate)
        with ask_pin("PIN", pin_fd) as pin:
            card.write_certificate(key, certificate.der, pin)
    click.echo(certificate.subject, err=True)
