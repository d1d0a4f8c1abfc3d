"""`python -m cardreader.emulated STATE`: an emulated card in the virtual reader of the system's pcscd.

With `--new`, a blank card is made first; its authentication PIN, signature PIN and PUK are read from standard
input, a line each, never from the command line.
"""

import argparse
import secrets
import sys
from pathlib import Path

from cardreader.emulated.bridge import DEFAULT_PORT
from cardreader.emulated.layout import InitialSecrets, create_card
from cardreader.emulated.stack import serve_on_system_reader
from cardreader.pin import Pin
from pki.errors import ServiceError


def _read_secrets() -> InitialSecrets:
    auth_pin, sign_pin, puk = (Pin(sys.stdin.buffer.readline().strip()) for _ in range(3))
    return InitialSecrets(auth_pin=auth_pin, sign_pin=sign_pin, puk=puk)


def main(arguments: list[str] | None = None) -> int:
    """Run the card until the reader ends or the user interrupts."""
    parser = argparse.ArgumentParser(prog="python -m cardreader.emulated", description=__doc__)
    parser.add_argument("state", type=Path, help="the card's state file")
    parser.add_argument("port", type=int, nargs="?", default=DEFAULT_PORT, help="port of the virtual reader")
    parser.add_argument("--wait", type=float, default=5.0, help="seconds to wait for the virtual reader")
    parser.add_argument("--new", action="store_true", help="make a blank card first")
    options = parser.parse_args(arguments)
    try:
        if options.new:
            create_card(options.state, _read_secrets(), serial=secrets.token_bytes(8))
        serve_on_system_reader(options.state, port=options.port, timeout=options.wait)
    except ServiceError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
