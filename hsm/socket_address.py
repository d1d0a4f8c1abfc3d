"""Unix socket addresses of any length: the kernel takes 107 octets (unix(7)), folders may be deeper."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

MAX_ADDRESS_OCTETS: Final = 107
MAX_NAME_OCTETS: Final = 64


@contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """Yield an address to bind or connect to; a long path goes through its opened folder. OSError as `open`."""
    if len(os.fsencode(path)) <= MAX_ADDRESS_OCTETS:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
