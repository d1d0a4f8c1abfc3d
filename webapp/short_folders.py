"""Where folders lie whose sockets other programs make: below a short, plain path that their users can pass."""

import os
import re
import tempfile
from pathlib import Path
from typing import Final

from webapp.reach import obstacles

_MOST_OCTETS: Final = 40  # leaves our own names room in the 107 that a socket's address takes (unix(7))
_PLAIN: Final = re.compile(r"[A-Za-z0-9/._-]+")  # PostgreSQL takes its folder as one word of many
_USUAL: Final = Path("/tmp")  # noqa: S108 - folders of our own are made in it


def socket_folder() -> Path:
    """Return the folder for temporary files, or /tmp where those sockets cannot lie in that one."""
    chosen = Path(tempfile.gettempdir())
    fits = len(os.fsencode(chosen)) <= _MOST_OCTETS and _PLAIN.fullmatch(str(chosen)) is not None
    closed = os.geteuid() == 0 and any(obstacles((chosen / "any",)))  # root's programs run as other users
    return chosen if fits and not closed else _USUAL
