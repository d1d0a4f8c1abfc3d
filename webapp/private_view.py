"""A view of the file system for services whose code or HOME lies below a folder that is closed to other users.

In a mount namespace of their own (mount_namespaces(7)) an empty folder lies over the closed one, such as /root, and in
it, at their usual places, are the folders that the services need and nothing else. Nobody else's view changes; this
one ends with the last process in it. `webapp.private_view_maker` makes it in a process of its own, so a view that
fails half-way is gone with that process.
"""

import json
import os
import socket
import subprocess
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hsm.child_process import module_command
from webapp.reach import closed_folders, spellings

_DEADLINE_SECONDS: Final = 20


class ViewRefused(Exception):
    """No view can be made here; says why in one phrase."""


@dataclass(frozen=True, slots=True)
class PrivateView:
    """A view that is kept while `namespace` is open; `covered` are the folders that it empties.

    `root` is our root folder in it: whoever enters a namespace starts at the machine's, from which ours may differ.
    """

    namespace: int
    root: int
    covered: tuple[Path, ...]

    @property
    def entrance(self) -> tuple[str, ...]:
        """Return the words before a command by which root runs it in this view (nsenter(1)), while we live."""
        ours = f"/proc/{os.getpid()}/fd"
        root = f"{ours}/{self.root}"
        return ("nsenter", f"--mount={ours}/{self.namespace}", f"--root={root}", f"--wd={root}", "--")

    def close(self) -> None:
        """Let go of it; whoever is in it stays in it."""
        os.close(self.namespace)
        os.close(self.root)


def make_view(home: Path, code: Iterable[Path], needed: Collection[Path], named: Iterable[Path]) -> PrivateView:
    """Have HOME and, to be read only, the folders of `code` seen by everybody; ViewRefused where that is impossible.

    Other users must then reach all that is `needed`. What the settings have `named` must not be hidden: where its
    owner keeps it, and who replaces it, is not ours to guess.
    """
    covered = closed_folders(needed)
    shown = {spelling: False for folder in code for spelling in spellings(folder)}
    shown |= dict.fromkeys(spellings(home), True)
    shown = {folder: writable for folder, writable in shown.items() if _is_below(folder, covered)}
    for path in named:
        hidden = (spelling for spelling in spellings(path) if _is_below(spelling, covered))
        if any(not _is_below(spelling, shown) for spelling in hidden):
            raise ViewRefused(f"the settings name {path}")
    namespace, root = _made(covered, shown)
    view = PrivateView(namespace, root, covered)
    try:
        _try(view, needed)
    except ViewRefused:
        view.close()
        raise
    return view


def _is_below(path: Path, folders: Iterable[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def _made(covered: Iterable[Path], shown: dict[Path, bool]) -> tuple[int, int]:
    """Return the namespace that the maker has made and handed over, and our root in it."""
    order = {"covered": list(map(str, covered)), "shown": {str(path): writable for path, writable in shown.items()}}
    ours, theirs = socket.socketpair()
    with ours, theirs:
        inherited = theirs.fileno()
        _run(module_command("webapp.private_view_maker", str(inherited), json.dumps(order)), inherited)
        _, (namespace, root), _, _ = socket.recv_fds(ours, 1, 2, socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC)
    return namespace, root


def _try(view: PrivateView, needed: Iterable[Path]) -> None:
    """See that our interpreter runs in the view, and that others reach there what they need."""
    obstacle = _run([*view.entrance, *module_command("webapp.reach", *map(str, needed))])
    if obstacle:
        raise ViewRefused(f"in it {obstacle}")


def _run(command: list[str], *inherited: int) -> str:
    try:
        ended = subprocess.run(  # noqa: S603 - our own programs
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            pass_fds=inherited,
            timeout=_DEADLINE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ViewRefused(f"{command[0]} does not run") from error
    if ended.returncode != 0:
        said = ended.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise ViewRefused(said[-120:] or f"status {ended.returncode}")
    return ended.stdout.decode(errors="replace")
