"""Asking a person at a terminal: what is shown, whether to go on, and the PIN.

Values of unknown direction are wrapped in Unicode isolates (U+2068 … U+2069), so a Persian line cannot
reorder a dose. The PIN comes from the terminal without echo, or from a file descriptor that a program
hands over; never from the command line or the environment.
"""

import getpass
import os
from collections.abc import Callable

import click

from cardreader.pin import Pin, PinStatus
from pki.errors import ErrorCode, InvalidInput, NotAllowed
from signer.documents import Document

MAX_PIN_OCTETS = 64


def isolate(text: str) -> str:
    """Wrap `text` in first-strong isolates."""
    return f"\u2068{text}\u2069"


def show_document(document: Document, name: str) -> None:
    """Write every field that will be signed to standard error, Persian and English labels."""
    click.echo(f"\n{isolate(name)}  {document.size} bytes  {document.content_type}", err=True)
    click.echo(f"SHA-256 {document.sha256.hex()}", err=True)
    for field in document.fields:
        if not field.detail:
            click.echo(f"  {field.label_fa} | {field.label_en}: {isolate(field.value)}", err=True)
    details = [field for field in document.fields if field.detail]
    if details:
        click.echo("  — سایر مقدارهای زیر امضا | everything else that is signed —", err=True)
    for field in details:
        click.echo(f"    {field.label_en}: {isolate(field.value)}", err=True)
    for warning in document.warnings:
        click.echo(f"  ! {warning.text_fa} | {warning.text_en} {isolate(warning.where)}", err=True)
    click.echo(
        "با امضا، این محتوا به نام شما ثبت می‌شود و انکارپذیر نیست. | Your signature binds you to this content.",
        err=True,
    )


def ask_consent(*, agreed: bool) -> None:
    """Ask whether to sign, unless the caller `agreed` on the command line; NotAllowed when declined."""
    if agreed:
        return
    if not click.confirm("امضا می‌کنید؟ | Sign it?", default=False, err=True):
        raise NotAllowed(ErrorCode.CONSENT_REFUSED)


last_try_option = click.option(
    "--last-try", is_flag=True, help="Use the PIN's last try; a wrong PIN then blocks the card's key."
)


def ask_pin(prompt: str, descriptor: int | None) -> Pin:
    """Read a PIN: one line from `descriptor`, else from the terminal without echo."""
    if descriptor is None:
        return Pin(bytearray(getpass.getpass(f"{prompt}: ", stream=None).encode()))
    line = bytearray()
    while len(line) < MAX_PIN_OCTETS:
        octet = os.read(descriptor, 1)
        if octet in (b"", b"\n"):
            break
        line += octet
    if not line:
        raise InvalidInput(ErrorCode.PIN_REQUIRED)
    return Pin(line)


def pin_source(descriptor: int | None) -> Callable[[PinStatus], Pin]:
    """Return what a card asks before each signature; the person sees how many tries are left."""

    def ask(status: PinStatus) -> Pin:
        tries = "" if status.tries_left is None else f" ({status.tries_left} tries left)"
        return ask_pin(f"رمز امضا | PIN{tries}", descriptor)

    return ask
