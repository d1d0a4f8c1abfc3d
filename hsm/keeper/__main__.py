"""The keeper of a PIN: `python -m hsm.keeper CONFIG.json [PARENT]`.

Composition root of a process with no other duty: it holds the PIN of a token that operators unlock by hand, in memory
that is never written to disk, and gives it to the custodian's user alone. A keeper that is restarted waits for its PIN
again; custodians heal by themselves once it has it.
"""

import logging
import os
import secrets
import sys
import time
from pathlib import Path

from hsm.child_process import ExitCode
from hsm.daemon import log_as_json, stop_signals
from hsm.hardening import end_with_parent, hide_memory
from hsm.keeper.config import KeeperSettings, load_keeper_settings, load_share_set
from hsm.keeper.kept_pin import KeptPin
from hsm.keeper.locked_memory import lock_all_memory
from hsm.keeper.server import KeeperServer
from pki.errors import ServiceError

_log = logging.getLogger("hsm.keeper")


def run(settings: KeeperSettings) -> ExitCode:
    """Serve until SIGTERM or SIGINT."""
    os.umask(0o077)
    hide_memory()
    if not lock_all_memory():
        _log.info("only the pages of the PIN are locked: this user may not lock all memory")
    share_set = None if settings.share_set is None else load_share_set(settings.share_set)
    with stop_signals() as wakeup:
        server = KeeperServer(settings.doors, KeptPin(share_set, time.monotonic, secrets.token_bytes), time.monotonic)
        server.stop_on(wakeup)
        try:
            _log.info("ready; the PIN is waited for")
            server.serve()
        finally:
            server.close()
    _log.info("stopped")
    return ExitCode.CLEAN


def main(arguments: list[str]) -> ExitCode:
    """Run a keeper with the settings file, and for the parent, named on the command line."""
    log_as_json()
    if len(arguments) not in (1, 2) or arguments[0].startswith("-") or not all(map(str.isdecimal, arguments[1:])):
        sys.stderr.write("usage: python -m hsm.keeper CONFIG.json [PARENT]\n")
        return ExitCode.USAGE
    try:
        if arguments[1:] and not end_with_parent(int(arguments[1])):
            return ExitCode.CLEAN
        return run(load_keeper_settings(Path(arguments[0])))
    except ServiceError as error:
        _log.error("cannot serve: %s", error.detail)
        return ExitCode.CONFIGURATION
    except OSError as error:
        _log.error("cannot serve: %s", error.strerror)
        return ExitCode.CONFIGURATION


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
