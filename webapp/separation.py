"""Who runs what: a system user each for custodian, server and worker where root can arrange it, else one user.

Separation is never a reason not to serve: whatever stands in its way is named in one line.
"""

import contextlib
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from webapp.deployment import Deployment
from webapp.ownership import places, settle
from webapp.supervisor import RunAs
from webapp.system_users import Account, Accounts, UsersMissing, system_accounts

_OPEN_PORTS: Final = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
_NEEDED_CAPABILITIES: Final = {0: "chown", 1: "pass permissions", 3: "chmod", 5: "kill", 6: "setgid", 7: "setuid"}
_OUR_PACKAGES: Final = ("pki", "storage", "hsm", "ca", "signer", "webapp")
_FOREIGN_PACKAGES: Final = ("encodings", "flask")  # one of the interpreter's own, one of the environment's


@dataclass(frozen=True, slots=True)
class Separation:
    """The users of a deployment's parts; `obstacle` says why they are all the same one, and is empty if not."""

    accounts: Accounts
    obstacle: str = ""

    def custodian(self) -> RunAs | None:
        """Return whom the custodian runs as; None: as we do."""
        return self._run_as(self.accounts.custodian)

    def worker(self) -> RunAs | None:
        """Return whom the worker runs as; None: as we do."""
        return self._run_as(self.accounts.worker, all_groups=True)

    def server(self, port: int) -> RunAs | None:
        """Return whom a server that listens at `port` runs as; None: as we do."""
        return self._run_as(self.accounts.server, all_groups=True, low_ports=port < _first_open_port())

    def _run_as(self, account: Account, *, all_groups: bool = False, low_ports: bool = False) -> RunAs | None:
        if self.obstacle:
            return None
        return RunAs(uid=account.uid, gid=account.gid, all_groups=all_groups, low_ports=low_ports)

    @property
    def line(self) -> str:
        """Say plainly how it is."""
        if not self.obstacle:
            return "custodian, server and worker run as a system user each"
        return (
            "custodian, server and worker run as one user: their separation guards against mistakes only "
            f"({self.obstacle})"
        )


def _first_open_port() -> int:
    """Return from which port on everybody may listen (ip(7))."""
    try:
        return int(_OPEN_PORTS.read_bytes())
    except (OSError, ValueError):
        return 1024


def separate(deployment: Deployment) -> Separation:
    """Decide who runs what and, as root, give every file of HOME to whom it then belongs."""
    separation = _decide(deployment)
    if os.geteuid() != 0:
        return separation
    try:
        settle(places(deployment, separation.accounts))
    except OSError as error:
        separation = _one_user(f"the files of {deployment.home} cannot be handed over: {error.strerror}")
        with contextlib.suppress(OSError):  # whoever cannot read its files will say so
            settle(places(deployment, separation.accounts))
    return separation


def _decide(deployment: Deployment) -> Separation:
    if os.geteuid() != 0:
        return _one_user("only root can start them as different users")
    missing = _missing_capability()
    if missing:
        return _one_user(f"this root may not {missing}")
    obstacle = next(obstacles((deployment.home, *_needed_files())), "")
    if obstacle:
        return _one_user(obstacle)
    try:
        accounts = system_accounts()
    except UsersMissing as error:
        return _one_user(str(error))
    link = next((place.path for place in places(deployment, accounts) if place.path.is_symlink()), None)
    return Separation(accounts) if link is None else _one_user(f"{link} is a link")


def _one_user(obstacle: str) -> Separation:
    us = Account(os.geteuid(), os.getegid())
    return Separation(Accounts(custodian=us, server=us, worker=us, data=us.gid), obstacle)


def _missing_capability() -> str:
    """Name what a root without all its rights, as in some containers, may not do (capabilities(7))."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    effective = next((line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")), "0")
    rights = int(effective, 16)
    return next((name for bit, name in _NEEDED_CAPABILITIES.items() if not rights >> bit & 1), "")


def _needed_files() -> Iterator[Path]:
    """Yield samples of what the services read: the interpreter, its library, the environment and our own rooms."""
    yield Path(sys.executable)
    for name in (*_FOREIGN_PACKAGES, *_OUR_PACKAGES):
        found = find_spec(name)
        if found is not None and found.origin is not None:
            yield Path(found.origin)


def obstacles(wanted: Iterable[Path]) -> Iterator[str]:
    """Yield what keeps other users from these files and folders: what may not be passed, or not be read."""
    passed: set[Path] = set()
    for path in wanted:
        for spelling in dict.fromkeys((path.absolute(), path.resolve())):
            for folder in reversed(spelling.parents):
                if folder not in passed and not _others_may(folder, stat.S_IXOTH):
                    yield f"other users cannot pass {folder}"
                passed.add(folder)
        if path.is_file() and not _others_may(path, stat.S_IROTH):
            yield f"other users cannot read {path}"


def _others_may(path: Path, right: int) -> bool:
    try:
        return bool(path.stat().st_mode & right)
    except OSError:
        return False
