"""Asking a person at a terminal: what is shown, whether to go on, and the PIN.

Text that came from elsewhere has its hidden characters marked and is wrapped in Unicode isolates (U+2068 … U+2069), so
a Persian line cannot reorder a dose. The PIN comes from the terminal without echo, or from a file descriptor that a
program hands over; never from the command line or the environment.
"""

import getpass
import os
import secrets
import warnings
from collections.abc import Callable
from typing import Final

import click

from cardreader.errors import PinFormatRefused, PinRequired
from cardreader.pin import Pin, PinStatus, wipe
from pki.errors import ErrorCode, NotAllowed
from signer.documents import LEGAL_EFFECT, Document
from signer.visible import mark_hidden

MAX_PIN_OCTETS: Final = 64

last_try_option = click.option(
    "--last-try", is_flag=True, help="Use the PIN's last try; a wrong PIN then blocks the card's key."
)
pin_fd_option = click.option(
    "--pin-fd",
    type=click.IntRange(0, 65535),
    help="Read each secret, a line, from this file descriptor instead of the terminal.",
)


def shown(text: str) -> str:
    """Mark hidden characters in foreign `text` and wrap it in first-strong isolates."""
    return f"\u2068{mark_hidden(text)[0]}\u2069"


def show_document(document: Document, name: str) -> None:
    """Write every field that will be signed to standard error, Persian and English labels."""
    click.echo(f"\n{shown(name)}  {document.size} bytes  {document.content_type}", err=True)
    click.echo(f"SHA-256 {document.sha256.hex()}", err=True)
    for field in document.fields:
        if not field.detail:
            click.echo(f"  {field.label_fa} | {field.label_en}: {shown(field.value)}", err=True)
    details = [field for field in document.fields if field.detail]
    if details:
        click.echo("  — سایر مقدارهای زیر امضا | everything else that is signed —", err=True)
    for field in details:
        click.echo(f"    {shown(field.label_en)}: {shown(field.value)}", err=True)
    for warning in document.warnings:
        click.echo(f"  ! {warning.text_fa} | {warning.text_en} {shown(warning.where)}", err=True)
    click.echo(f"{LEGAL_EFFECT.fa} | {LEGAL_EFFECT.en}", err=True)


def ask_consent(*, agreed: bool) -> None:
    """Ask whether to sign, unless the caller `agreed` on the command line; NotAllowed when nobody says yes."""
    try:
        consents = agreed or click.confirm("امضا می‌کنید؟ | Sign it?", default=False, err=True)
    except click.Abort as error:
        click.echo(err=True)  # the prompt's line has no end yet
        raise NotAllowed(ErrorCode.CONSENT_REFUSED) from error
    if not consents:
        raise NotAllowed(ErrorCode.CONSENT_REFUSED)


def ask_pin(prompt: str, descriptor: int | None) -> Pin:
    """Read a PIN, which the caller wipes: one line from `descriptor`, else from the terminal without echo.

    Nothing of a line from `descriptor` outlives the PIN. What is typed at the terminal passes through texts of the
    interpreter, which cannot be wiped and stay in memory until it is used again. PinRequired when nobody answers.
    """
    return Pin(_typed(prompt) if descriptor is None else _line(descriptor))


def ask_new_pin(prompt: str, descriptor: int | None) -> Pin:
    """Read a PIN as `ask_pin`, at the terminal twice; PinFormatRefused when the two differ."""
    first = ask_pin(prompt, descriptor)
    if descriptor is not None:
        return first
    key = secrets.token_bytes(32)
    with ask_pin(f"دوباره | again, {prompt}", None) as second:
        same = first.fingerprint(key) == second.fingerprint(key)
    if not same:
        first.wipe()
        raise PinFormatRefused("the two entries of the new PIN differ")
    return first


def pin_source(descriptor: int | None) -> Callable[[PinStatus], Pin]:
    """Return what a card asks before each signature; the person sees how many tries are left."""

    def ask(status: PinStatus) -> Pin:
        tries = "" if status.tries_left is None else f" ({status.tries_left} tries left)"
        return ask_pin(f"رمز امضا | PIN{tries}", descriptor)

    return ask


def _typed(prompt: str) -> bytearray:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)  # where echo cannot be switched off, nothing is read
            return bytearray(getpass.getpass(f"{prompt}: ").encode("ascii", "replace"))
    except (EOFError, getpass.GetPassWarning) as error:
        raise PinRequired("there is no terminal to ask at; a program hands the PIN over by --pin-fd") from error


def _line(descriptor: int) -> bytearray:
    line = bytearray()
    try:
        while len(line) < MAX_PIN_OCTETS and (octet := os.read(descriptor, 1)) not in (b"", b"\n"):
            line += octet
    except OSError as error:
        wipe(line)
        raise PinRequired(f"file descriptor {descriptor} cannot be read") from error
    if not line:
        raise PinRequired(f"file descriptor {descriptor} has no line left")
    return line
