"""Where the custodian listens, and who is at the other end (unix(7))."""

import errno
import socket
import stat
import struct
from pathlib import Path
from typing import Final

from hsm.errors import ConfigurationInvalid
from hsm.socket_address import socket_address

BACKLOG: Final = 128

_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred: pid, uid, gid


def open_listener(path: Path) -> socket.socket:
    """Listen on a socket that only our user may open, in a folder that only our user may enter.

    ConfigurationInvalid when the folder is open to others or another custodian answers there.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = path.parent.stat()
    if stat.S_IMODE(folder.st_mode) & 0o077:
        raise ConfigurationInvalid(f"the folder {path.parent.name} of the socket may be entered by others")
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with socket_address(path) as address:
            listener.bind(address)
        path.chmod(0o600)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigurationInvalid(f"cannot listen on {path.name}: {error.strerror}") from error
    listener.settimeout(0)
    return listener


def _remove_stale(path: Path) -> None:
    """Remove a socket that nobody listens on any more, and nothing else."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigurationInvalid(f"{path.name} is there and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, socket_address(path) as address:
        probe.settimeout(1)
        if probe.connect_ex(address) != errno.ECONNREFUSED:
            raise ConfigurationInvalid("another custodian answers on this socket")
    path.unlink()


def peer_uid(sock: socket.socket) -> int:
    """Return the user id that the peer had when it connected, by the kernel's word."""
    _, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return int(uid)
