"""Real pcscd for tests, and one fixed name for its socket.

libpcsclite reads PCSCLITE_CSOCK_NAME once in a process. Every test in this process shares one name, a symbolic
link, and points it at the stack it uses. A name that was inherited is another process's: tests run in several.
"""

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

import pytest

from cardreader.emulated.service import program, virtual_reader_driver
from cardreader.emulated.stack import PrivateReaderStack, namespaces_allowed
from cardreader.errors import CardUnsupported

_VARIABLE = "PCSCLITE_CSOCK_NAME"


def require_reader_programs() -> None:
    """Skip the test where pcscd, vsmartcard-vpcd or namespaces are missing."""
    try:
        for name in ("pcscd", "unshare", "mount", "setpriv"):
            program(name)
        virtual_reader_driver()
    except CardUnsupported as error:
        pytest.skip(error.detail)
    if not namespaces_allowed():
        pytest.skip("this machine refuses private namespaces")


def claim_socket_name() -> None:
    """Fix the name for this process; before any test, because the first PC/SC call reads it for good."""
    folder = _socket_folder(os.getpid())
    os.environ[_VARIABLE] = str(folder / "pcscd.comm")


@cache
def _socket_folder(_process: int) -> Path:
    folder = tempfile.mkdtemp(prefix="mohr-pcsc-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def attach(stack: PrivateReaderStack) -> None:
    """Let this process's PC/SC calls reach `stack`, and nothing else."""
    claim_socket_name()
    link = Path(os.environ[_VARIABLE])
    link.unlink(missing_ok=True)
    link.symlink_to(stack.socket_path)
