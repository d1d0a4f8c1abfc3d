"""Choosing a card, and `mohr-agent cards`."""

import json
from typing import Any

import click

from cardreader.cards.base import SmartCard
from cardreader.cards.objects import CardKey, KeyUsage
from cardreader.errors import CardError
from cardreader.pcsc.readers import PcscReaders
from desk.terminal import shown
from pki.certificates import Certificate
from pki.errors import ErrorCode, NotFound

reader_option = click.option("--reader", help="The reader's name; default: the first with a card.")
usage_option = click.option(
    "--usage", type=click.Choice([str(usage) for usage in KeyUsage]), default=str(KeyUsage.SIGN), show_default=True
)


def open_card(reader: str | None) -> SmartCard:
    """Connect to the card in `reader`, or in the first reader that holds one.

    NotFound (`card-absent`, `reader-not-found`) when there is none.
    """
    readers = PcscReaders()
    states = [state for state in readers.list() if reader in (None, state.name)]
    if not states:
        raise NotFound(ErrorCode.READER_NOT_FOUND, reader or "")
    for state in states:
        if state.card_present:
            return readers.connect(state.name)
    raise NotFound(ErrorCode.CARD_ABSENT, reader or "")


def find_key(card: SmartCard, usage: KeyUsage) -> CardKey:
    """Return the card's key for `usage`; NotFound (`card-key-not-found`)."""
    for key in card.keys():
        if key.usage is usage:
            return key
    raise NotFound(ErrorCode.CARD_KEY_NOT_FOUND, usage)


def pin_reference(card: SmartCard, usage: KeyUsage) -> int:
    """Return which PIN guards the place for `usage`, filled or empty; NotFound when none does."""
    for slot in card.slots():
        if slot.usage is usage and slot.pin_reference is not None:
            return slot.pin_reference
    raise NotFound(ErrorCode.CARD_KEY_NOT_FOUND, usage)


def _describe_key(key: CardKey) -> dict[str, Any]:
    certificate = Certificate.parse(key.certificate) if key.certificate else None
    return {
        "usage": key.usage,
        "label": key.label,
        "algorithm": key.algorithm,
        "subject": certificate.subject if certificate else None,
        "issuer": certificate.issuer if certificate else None,
        "serial": certificate.serial_hex if certificate else None,
        "not_after": certificate.not_after.isoformat() if certificate else None,
    }


def _describe_card(card: SmartCard) -> dict[str, Any]:
    return {
        "label": card.label,
        "serial": card.serial,
        "profile": card.profile.name,
        "verified": card.profile.verified,
        "keys": [_describe_key(key) for key in card.keys()],
    }


def _look_into(readers: PcscReaders, name: str) -> dict[str, Any]:
    """Describe one reader; a card that cannot be read takes none of the others off the list."""
    try:
        with readers.connect(name) as card:
            return {"reader": name, "card": _describe_card(card), "error": None}
    except CardError as error:
        return {"reader": name, "card": None, "error": error.code}


def _lines(entry: dict[str, Any]) -> list[str]:
    card = entry["card"]
    if card is None:
        return [f"{shown(entry['reader'])}: {entry['error'] or 'empty'}"]
    known = "" if card["verified"] else ", unverified"
    lines = [f"{shown(entry['reader'])}: {shown(card['label'])} {card['serial']} ({card['profile']}{known})"]
    for key in card["keys"]:
        certificate = "no certificate"
        if key["serial"] is not None:
            certificate = f"{key['serial']} until {key['not_after']} {shown(key['subject'])}"
        lines.append(f"  {key['usage']} {key['algorithm']}: {certificate}")
    return lines


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def cards(as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """List readers, cards, their keys and certificates.

    Example: mohr-agent cards --json
    """
    readers = PcscReaders()
    found = [
        _look_into(readers, state.name) if state.card_present else {"reader": state.name, "card": None, "error": None}
        for state in readers.list()
    ]
    if as_json:
        click.echo(json.dumps({"readers": found}, ensure_ascii=False))
        return
    for entry in found:
        for line in _lines(entry):
            click.echo(line)
