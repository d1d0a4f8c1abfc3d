"""Logs in as a device process does, in a child for each line it reads, until the child is killed.

`python -m tests.hsm.killed_logins FOLDER MODULE LABEL`: tells the child's process id once it has logged in, and an
empty line once it is gone. A line `guarded` opens under the guard, `bare` without; `doomed` dies at the second login
while `token.object` is written.
"""

import os
import resource
import signal
import sys
from contextlib import nullcontext
from pathlib import Path

from hsm.key_uri import parse_token
from hsm.pin import PinFile, PinTries
from hsm.pkcs11 import Pkcs11Device
from hsm.softhsm_guard import SoftHsmGuard


def _say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def _log_in(folder: Path, module: Path, label: str, manner: str) -> None:
    guard = SoftHsmGuard(Path(os.environ["SOFTHSM2_CONF"]))
    device = Pkcs11Device(
        module_path=module,
        token=parse_token(label),
        pins=PinFile(folder / "pin"),
        tries=PinTries(folder / "tries", 2),
        opening=nullcontext if manner == "bare" else guard.opening,
    )
    device.open()
    if manner == "doomed":
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (8, 8))  # a generation, and nothing after it
    _say(str(os.getpid()))
    while True:
        device.open()


def main() -> None:
    """Serve one line after the other."""
    folder, module, label = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                _log_in(folder, module, label, line.strip())
            finally:
                os._exit(1)
        os.waitpid(child, 0)
        _say("")


if __name__ == "__main__":
    main()
