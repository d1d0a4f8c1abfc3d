"""The process that makes a private view (`webapp.private_view`): it changes its own mount namespace and hands it over.

    python -m webapp.private_view_maker SOCKET '{"covered": [FOLDER, …], "shown": {FOLDER: WRITABLE, …}}'

SOCKET is an inherited descriptor. Every mount is made in the new namespace, so whatever fails leaves nothing behind.
"""

import ctypes
import json
import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

_CLONE_NEWNS: Final = 0x00020000  # <linux/sched.h>
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT = 1, 2, 4, 8, 32  # <sys/mount.h>
_BIND, _REC, _SLAVE = 1 << 12, 1 << 14, 1 << 19
_KEPT: Final = _RDONLY | _NOSUID | _NODEV | _NOEXEC  # the same bits in statvfs(3)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)


def make(covered: Sequence[Path], shown: Mapping[Path, bool]) -> None:
    """Leave the namespace that we share; cover these folders but for what is shown. OSError where that is refused."""
    os.umask(0o022)
    if _libc.unshare(_CLONE_NEWNS) != 0:
        raise _refusal("a namespace of one's own")
    _mount(None, Path("/"), _SLAVE | _REC)  # what administrators mount and unmount later happens here as well
    opened = [(path, os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) for path in _without_parts(shown)]
    for folder in covered:
        _mount("tmpfs", folder, _NOSUID | _NODEV | _NOEXEC, b"mode=0755,size=64k")
    for path, descriptor in opened:
        path.mkdir(parents=True, exist_ok=True)
        _mount(f"/proc/self/fd/{descriptor}", path, _BIND | _REC)
        _restrict(path, _NOSUID | _NODEV | (0 if shown[path] else _RDONLY))
        os.close(descriptor)
    for folder in covered:
        _restrict(folder, _RDONLY)


def _without_parts(shown: Mapping[Path, bool]) -> Iterator[Path]:
    """Yield what is shown, outer folders first, without what is seen in another one just as well."""
    for path in sorted(shown):
        if shown[path] or not any(parent in shown for parent in path.parents):
            yield path


def _restrict(path: Path, flags: int) -> None:
    _mount(None, path, _REMOUNT | _BIND | flags | (os.statvfs(path).f_flag & _KEPT))


def _mount(source: str | None, target: Path, flags: int, data: bytes | None = None) -> None:
    kind = b"tmpfs" if source == "tmpfs" else None
    if _libc.mount(None if source is None else os.fsencode(source), os.fsencode(target), kind, flags, data) != 0:
        raise _refusal(str(target))


def _refusal(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), what)


def main() -> None:
    """Make what the command line orders, and send the namespace and our root in it."""
    order = json.loads(sys.argv[2])
    try:
        make(list(map(Path, order["covered"])), {Path(path): writable for path, writable in order["shown"].items()})
        namespace, root = os.open("/proc/self/ns/mnt", os.O_RDONLY), os.open("/", os.O_RDONLY | os.O_DIRECTORY)
        with socket.socket(fileno=int(sys.argv[1])) as channel:
            socket.send_fds(channel, [b"\0"], [namespace, root])
    except OSError as error:
        sys.exit(f"{error.filename}: {error.strerror}")


if __name__ == "__main__":
    main()
