"""Choosing a card, and `mohr-agent cards`."""

import json

import click

from cardreader.cards.base import SmartCard
from cardreader.cards.objects import CardKey, KeyUsage
from cardreader.pcsc.readers import PcscReaders
from pki.certificates import Certificate
from pki.errors import ErrorCode, NotFound


def open_card(reader: str | None) -> SmartCard:
    """Connect to the card in `reader`, or in the first reader that holds one.

    NotFound (`card-absent`, `reader-not-found`) when there is none.
    """
    readers = PcscReaders()
    states = readers.list()
    if not states:
        raise NotFound(ErrorCode.READER_NOT_FOUND)
    for state in states:
        if state.card_present and reader in (None, state.name):
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


def _describe(key: CardKey) -> dict[str, object]:
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


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def cards(as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """List readers, cards, their keys and certificates.

    Example: mohr-agent cards --json
    """
    readers = PcscReaders()
    found = []
    for state in readers.list():
        entry: dict[str, object] = {"reader": state.name, "card": None}
        if state.card_present:
            with readers.connect(state.name) as card:
                entry["card"] = {
                    "label": card.label,
                    "serial": card.serial,
                    "profile": card.profile.name,
                    "verified": card.profile.verified,
                    "keys": [_describe(key) for key in card.keys()],
                }
        found.append(entry)
    if as_json:
        click.echo(json.dumps({"readers": found}, ensure_ascii=False))
        return
    for entry in found:
        click.echo(f"{entry['reader']}: {json.dumps(entry['card'], ensure_ascii=False, indent=2)}")
