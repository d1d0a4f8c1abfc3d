"""`mohr-agent pin`: how many tries are left, a new PIN, a blocked PIN freed by the PUK."""

import json

import click

from cardreader.cards.objects import KeyUsage
from desk.cards import open_card, pin_reference, reader_option, usage_option
from desk.terminal import ask_new_pin, ask_pin, last_try_option, pin_fd_option


@click.group()
def pin() -> None:
    """Look after the card's PINs. Example: mohr-agent pin status --usage sign."""


@pin.command()
@usage_option
@reader_option
def status(usage: str, reader: str | None) -> None:
    """Say how many tries are left, without using one. Example: mohr-agent pin status."""
    with open_card(reader) as card:
        found = card.pin_status(pin_reference(card, KeyUsage(usage)))
    click.echo(json.dumps({"usage": usage, "tries_left": found.tries_left, "blocked": found.blocked}))


@pin.command()
@usage_option
@reader_option
@pin_fd_option
@last_try_option
def change(usage: str, reader: str | None, pin_fd: int | None, last_try: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Replace a PIN. Example: mohr-agent pin change --usage sign."""
    with open_card(reader) as card:
        reference = pin_reference(card, KeyUsage(usage))
        with ask_pin("رمز کنونی | PIN", pin_fd) as old, ask_new_pin("رمز تازه | new PIN", pin_fd) as new:
            card.change_pin(reference, old, new, last_try_confirmed=last_try)
    click.echo("رمز عوض شد | the PIN was changed", err=True)


@pin.command()
@usage_option
@reader_option
@pin_fd_option
@last_try_option
def unblock(usage: str, reader: str | None, pin_fd: int | None, last_try: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Free a blocked PIN with the PUK and set a new one. Example: mohr-agent pin unblock --usage sign."""
    with open_card(reader) as card:
        reference = pin_reference(card, KeyUsage(usage))
        with ask_pin("PUK", pin_fd) as puk, ask_new_pin("رمز تازه | new PIN", pin_fd) as new:
            card.unblock_pin(reference, puk, new, last_try_confirmed=last_try)
    click.echo("قفل رمز باز شد | the PIN was unblocked", err=True)
