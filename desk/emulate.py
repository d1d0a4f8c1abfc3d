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
from signer.files import read_file

DIGITS_OF_A_PIN = 6
DIGITS_OF_A_PUK = 8


def _random_digits(count: int) -> str:
    return "".join(secrets.choice("0123456789") for _ in range(count))


def _read_pins(path: Path) -> tuple[str, str]:
    lines = read_file(path).decode("ascii", "replace").split()
    if len(lines) != 2:
        raise InvalidInput(
            ErrorCode.PIN_FORMAT, "the file holds the signing PIN and the authentication PIN, a line each"
        )
    return lines[0], lines[1]


def _new_card(state: Path, pins_file: Path | None) -> None:
    """Make a blank card; secrets that were not given are drawn and shown once."""
    puk = _random_digits(DIGITS_OF_A_PUK)
    if pins_file is None:
        sign_pin, auth_pin = _random_digits(DIGITS_OF_A_PIN), _random_digits(DIGITS_OF_A_PIN)
        pins = f"signing PIN {sign_pin}, authentication PIN {auth_pin}, "
    else:
        sign_pin, auth_pin = _read_pins(pins_file)
        pins = ""
    with Pin(auth_pin.encode()) as auth, Pin(sign_pin.encode()) as sign, Pin(puk.encode()) as unblocking:
        initial = InitialSecrets(auth_pin=auth, sign_pin=sign, puk=unblocking)
        create_card(state, initial, serial=secrets.token_bytes(8))
    click.echo(f"new card: {pins}PUK {puk} (shown once)", err=True)


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
    state = folder / "card.json"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not state.exists():
            _new_card(state, initial_pins)
    except OSError as error:
        raise InvalidInput(ErrorCode.FILE_UNWRITABLE, folder.name) from error
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with PrivateReaderStack(folder, state) as stack:
        click.echo(f"PCSCLITE_CSOCK_NAME={stack.socket_path}", err=True)
        stop.wait()
