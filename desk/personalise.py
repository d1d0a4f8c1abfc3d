"""`mohr-agent personalise`: a key made on the card, its request signed by it, its certificate written back."""

import re
from pathlib import Path

import click

from cardreader.cards.objects import KeyUsage
from desk.cards import find_key, open_card, reader_option, usage_option
from desk.terminal import ask_pin, last_try_option, pin_fd_option, shown
from pki.certificates import load_certificates
from pki.csr import build_csr
from pki.identity import MAX_NAME
from pki.keys import SignatureAlgorithm
from signer.files import check_writable, read_file, write_file

_NONCE = re.compile(r"[A-Za-z0-9_-]{22,64}")
_ALGORITHMS = (SignatureAlgorithm.ES256, SignatureAlgorithm.RS256)


def _nonce(_context: click.Context, _parameter: click.Parameter, nonce: str | None) -> str | None:
    if nonce is not None and not _NONCE.fullmatch(nonce):
        raise click.BadParameter("22 to 64 letters, digits, hyphens and underscores")
    return nonce


@click.group()
def personalise() -> None:
    """Make keys on the card and write their certificates. Example: mohr-agent personalise keygen --csr rx.csr."""


@personalise.command()
@usage_option
@reader_option
@pin_fd_option
@last_try_option
@click.option("--algorithm", type=click.Choice([*map(str, _ALGORITHMS)]), default="ES256", show_default=True)
@click.option("--csr", "csr_file", type=click.Path(path_type=Path), required=True, help="Where the request goes.")
@click.option("--nonce", callback=_nonce, help="What `mohr ca nonce` gave: the card's own request carries it.")
@click.option("--replace", is_flag=True, help="Destroy the key and certificate that are there.")
def keygen(
    usage: str,
    reader: str | None,
    pin_fd: int | None,
    last_try: bool,  # noqa: FBT001 - click passes options by name
    algorithm: str,
    csr_file: Path,
    nonce: str | None,
    replace: bool,  # noqa: FBT001 - click passes options by name
) -> None:
    """Generate a key pair on the card and have it sign a certificate request.

    Example: mohr-agent personalise keygen --usage sign --csr sign.csr
    """
    check_writable(csr_file)
    with open_card(reader) as card, ask_pin("رمز کارت | PIN", pin_fd) as pin:
        card.generate_key(
            KeyUsage(usage), SignatureAlgorithm(algorithm), pin, replace=replace, last_try_confirmed=last_try
        )
        key = find_key(card, KeyUsage(usage))
        request = build_csr(card.signing_key(key, pin), f"mohr {usage} key {card.serial}"[:MAX_NAME], challenge=nonce)
    write_file(csr_file, request)
    click.echo(f"{csr_file}", err=True)


@personalise.command()
@usage_option
@reader_option
@pin_fd_option
@last_try_option
@click.argument("certificate_file", type=click.Path(path_type=Path))
def write(
    usage: str,
    reader: str | None,
    pin_fd: int | None,
    last_try: bool,  # noqa: FBT001 - click passes options by name
    certificate_file: Path,
) -> None:
    """Write the issued certificate onto the card, if it is for the card's key.

    Example: mohr-agent personalise write --usage sign sign.pem
    """
    certificate = load_certificates(read_file(certificate_file))[0]
    with open_card(reader) as card:
        key = find_key(card, KeyUsage(usage))
        with ask_pin("رمز کارت | PIN", pin_fd) as pin:
            card.write_certificate(key.key_id, certificate.der, pin, last_try_confirmed=last_try)
    click.echo(shown(certificate.subject), err=True)
