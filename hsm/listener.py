"""Where a process of this room listens, and who is at the other end (unix(7)).

Each role has a folder of its own below the sockets' folder. One that root prepared for a role's group
(our user's, the role's group, mode 2750) is kept and its sockets may be opened by that group; in any other
folder they are ours alone.
"""

import errno
import os
import socket
import stat
import struct
from pathlib import Path
from typing import Final

from hsm.errors import ConfigurationInvalid
from hsm.socket_address import socket_address

BACKLOG: Final = 512

_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred: pid, uid, gid
_FOR_GROUP: Final = stat.S_ISGID | 0o750


def open_listener(path: Path) -> socket.socket:
    """Listen on a socket that only our user, or the group its folder was prepared for, may open.

    ConfigurationInvalid when the folder is open to others or another custodian answers there.
    """
    mode = _socket_mode(path.parent)
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with socket_address(path) as address:
            listener.bind(address)
        path.chmod(mode)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigurationInvalid(f"cannot listen on {path.name}: {error.strerror}") from error
    listener.settimeout(0)
    return listener


def _socket_mode(folder: Path) -> int:
    """Make the folder if need be; return the mode of the sockets in it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as error:
        raise ConfigurationInvalid(f"the folder {folder.name} of the socket: {error.strerror}") from error
    if found.st_uid != os.geteuid():
        raise ConfigurationInvalid(f"the folder {folder.name} of the socket belongs to another user")
    mode = stat.S_IMODE(found.st_mode)
    if mode == _FOR_GROUP:
        return 0o660
    if mode & 0o077:
        raise ConfigurationInvalid(f"the folder {folder.name} of the socket may be entered by others")
    return 0o600


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


def peer_of(sock: socket.socket) -> tuple[int, int]:
    """Return the process and user id that the peer had when it connected, by the kernel's word."""
    pid, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return int(pid), int(uid)


def peer_uid(sock: socket.socket) -> int:
    """Return the user id alone of `peer_of`."""
    return peer_of(sock)[1]
