"""`mohr-agent emulate`: a reader with an emulated card, for trying Mohr out, for tests and for integrators.

The card's private keys lie in a file: it protects nothing. This is the only module that may import
`cardreader.emulated`.
"""

import secrets
import signal
import threading
from pathlib import Path

import click

from cardreader.emulated.layout import InitialSecrets, create_card
from cardreader.emulated.stack import PrivateReaderStack
from cardreader.pin import Pin
from pki.errors import ErrorCode, InvalidInput

DIGITS_OF_A_PIN = 6
DIGITS_OF_A_PUK = 8


def _random_digits(count: int) -> str:
    return "".join(secrets.choice("0123456789") for _ in range(count))


def _read_pins(path: Path) -> tuple[str, str]:
    try:
        lines = path.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(ErrorCode.FILE_UNREADABLE, path.name) from error
    if len(lines) != 2:
        raise InvalidInput(
            ErrorCode.PIN_FORMAT, "the file holds the signing PIN and the authentication PIN, a line each"
        )
    return lines[0], lines[1]


def _new_card(state: Path, pins_file: Path | None) -> None:
    """Make a blank card; PINs that were not given are drawn and shown once."""
    puk = _random_digits(DIGITS_OF_A_PUK)
    if pins_file is None:
        sign_pin, auth_pin = _random_digits(DIGITS_OF_A_PIN), _random_digits(DIGITS_OF_A_PIN)
        click.echo(f"new card: signing PIN {sign_pin}, authentication PIN {auth_pin}, PUK {puk} (shown once)", err=True)
    else:
        sign_pin, auth_pin = _read_pins(pins_file)
    initial = InitialSecrets(auth_pin=Pin(auth_pin.encode()), sign_pin=Pin(sign_pin.encode()), puk=Pin(puk.encode()))
    create_card(state, initial, serial=secrets.token_bytes(8))


@click.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Where the card and its reader live.",
)
@click.option("--initial-pins", type=click.Path(path_type=Path), help="A file with a new card's two PINs.")
def emulate(folder: Path, initial_pins: Path | None) -> None:
    """Run a reader with an emulated card until stopped; a new card is made where FOLDER has none.

    Other programs reach it when PCSCLITE_CSOCK_NAME is set to FOLDER/pcscd/pcscd.comm.

    Example: mohr-agent emulate --folder var/card
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    state = folder / "card.json"
    if not state.exists():
        _new_card(state, initial_pins)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with PrivateReaderStack(folder, state) as stack:
        click.echo(f"PCSCLITE_CSOCK_NAME={stack.socket_path}", err=True)
        stop.wait()
