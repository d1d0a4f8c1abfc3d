"""Who runs what: a system user each for custodian, server and worker where root can arrange it, else one user.

Separation is never a reason not to serve: whatever stands in its way is named in one line.
"""

import contextlib
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Final

from ca.custody_policy import OPERATOR
from hsm.custodian.config import MAX_SETTINGS_OCTETS
from hsm.custodian.policy import load_policy, write_policy
from hsm.process import CustodianProcess
from hsm.settings_file import read_settings
from pki.errors import ServiceError
from webapp.deployment import Deployment
from webapp.ownership import places, settle
from webapp.private_view import PrivateView, ViewRefused, make_view
from webapp.reach import obstacles
from webapp.supervisor import RunAs
from webapp.system_users import Account, Accounts, UsersMissing, system_accounts

_OPEN_PORTS: Final = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
_NEEDED_CAPABILITIES: Final = {0: "chown", 1: "pass permissions", 3: "chmod", 5: "kill", 6: "setgid", 7: "setuid"}
_PATH_WITHIN: Final = re.compile(r"/[^\s:;,?=&]*")  # a URL, or an address such as unix:path=/run/hsm
_OUR_PACKAGES: Final = ("pki", "storage", "hsm", "ca", "signer", "webapp")
_FOREIGN_PACKAGES: Final = ("encodings", "flask")  # one of the interpreter's own, one of the environment's


@dataclass(frozen=True, slots=True)
class Separation:
    """The users of a deployment's parts; `obstacle` says why they are all the same one, and is empty if not.

    `view` is what they see of the file system where a closed folder lies before what they need; `close` lets go of
    it. `named_anew`: the custodian's policy named others before.
    """

    accounts: Accounts
    obstacle: str = ""
    view: PrivateView | None = None
    named_anew: bool = False

    def custodian(self) -> RunAs | None:
        """Return whom the custodian runs as; None: as we do."""
        return self._run_as(self.accounts.custodian)

    def worker(self) -> RunAs | None:
        """Return whom the worker runs as; None: as we do."""
        return self._run_as(self.accounts.worker, all_groups=True)

    def linter(self) -> RunAs | None:
        """Return whom the linter runs as; None: as we do."""
        return self._run_as(self.accounts.linter, all_groups=True)

    def server(self, port: int) -> RunAs | None:
        """Return whom a server that listens at `port` runs as; None: as we do."""
        return self._run_as(self.accounts.server, all_groups=True, low_ports=port < _first_open_port())

    def _run_as(self, account: Account, *, all_groups: bool = False, low_ports: bool = False) -> RunAs | None:
        if self.obstacle:
            return None
        entrance = () if self.view is None else self.view.entrance
        return RunAs(uid=account.uid, gid=account.gid, all_groups=all_groups, low_ports=low_ports, entrance=entrance)

    def close(self) -> None:
        """Let go of the view, once nothing more is started."""
        if self.view is not None:
            self.view.close()

    @property
    def users(self) -> dict[str, int]:
        """Return whom the custodian's policy lets speak for which role; we are the operator."""
        return {"server": self.accounts.server.uid, "worker": self.accounts.worker.uid, "operator": os.geteuid()}

    @property
    def lines(self) -> tuple[str, ...]:
        """Say plainly how it is."""
        how = "custodian, server and worker run as a system user each"
        if self.view is not None:
            how += f"; below {', '.join(map(str, self.view.covered))} they see their code and HOME alone"
        if self.obstacle:
            how = (
                "custodian, server and worker run as one user: their separation guards against mistakes only "
                f"({self.obstacle})"
            )
        if not self.named_anew:
            return (how,)
        return (how, "the custodian's policy names them anew, by user id: " + ", ".join(map(" ".join, self._names())))

    def _names(self) -> Iterator[tuple[str, str]]:
        return ((role, str(uid)) for role, uid in self.users.items())


def _first_open_port() -> int:
    """Return from which port on everybody may listen (ip(7))."""
    try:
        return int(_OPEN_PORTS.read_bytes())
    except (OSError, ValueError):
        return 1024


def separate(deployment: Deployment) -> Separation:
    """Decide who runs what; as root, give every file of HOME to whom it then belongs. The policy follows."""
    separation = _decide(deployment)
    try:
        _settle(deployment, separation)
    except OSError as error:
        separation.close()
        separation = _one_user(f"the files of {deployment.home} cannot be handed over: {error.strerror}")
        with contextlib.suppress(OSError):  # whoever cannot read its files will say so
            _settle(deployment, separation)
    if not _name_users(deployment.policy_file, separation.users):
        return separation
    with contextlib.suppress(OSError):
        _settle(deployment, separation)
    return replace(separation, named_anew=True)


@contextlib.contextmanager
def custodian_for_us(deployment: Deployment) -> Iterator[CustodianProcess]:
    """Run a custodian of a deployment that is not served now, as the user to whom its files belong."""
    with contextlib.ExitStack() as stack:
        launcher: tuple[str, ...] = ()
        if os.geteuid() == 0 and _owner(deployment.custodian_config) != 0:
            separation = stack.enter_context(contextlib.closing(_decide(deployment)))
            with contextlib.suppress(OSError):  # a home that was put together by hand: its custodian says what is wrong
                _settle(deployment, separation)
            user = separation.custodian()
            launcher = () if user is None else user.launcher()
        elif _owner(deployment.policy_file) == os.geteuid():  # a home that came from another machine names its operator
            _name_users(deployment.policy_file, {OPERATOR: os.geteuid()})
        log = deployment.custodian_log
        yield stack.enter_context(CustodianProcess(deployment.custodian_config, log_path=log, launcher=launcher))


def _owner(path: Path) -> int:
    """Return whose a file is; root's where there is none, and whoever reads it next says so."""
    try:
        return path.stat().st_uid
    except OSError:
        return 0


def _settle(deployment: Deployment, separation: Separation) -> None:
    if os.geteuid() == 0:
        settle(places(deployment, separation.accounts))


def _name_users(policy_file: Path, users: Mapping[str, int]) -> bool:
    """Have the policy name these users alone for their roles; False where it does already or cannot be read."""
    try:
        policy = load_policy(policy_file)
        roles = dict(policy.roles)
        for name in users.keys() & roles.keys():
            roles[name] = replace(roles[name], uids=frozenset({users[name]}))
        if roles == policy.roles:
            return False
        write_policy(replace(policy, roles=MappingProxyType(roles)), policy_file)
    except ServiceError:  # the custodian reads it next, and says what is wrong with it
        return False
    return True


def _decide(deployment: Deployment) -> Separation:
    if os.geteuid() != 0:
        return _one_user("only root can start them as different users")
    missing = _missing_capability()
    if missing:
        return _one_user(f"this root may not {missing}")
    try:
        with contextlib.ExitStack() as undo:
            view = _needed_view(deployment)
            if view is not None:
                undo.callback(view.close)
            accounts = system_accounts()
            link = next((place.path for place in places(deployment, accounts) if place.path.is_symlink()), None)
            if link is not None:
                return _one_user(f"{link} is a link")
            undo.pop_all()
            return Separation(accounts, view=view)
    except (UsersMissing, ViewRefused) as error:
        return _one_user(str(error))


def _needed_view(deployment: Deployment) -> PrivateView | None:
    """Make the view without which other users do not reach what they need; None where they do."""
    needed = (deployment.home, *_needed_files())
    obstacle = next(obstacles(needed), "")
    if not obstacle:
        return None
    try:
        return make_view(deployment.home, _code_folders(), needed, _named_paths(deployment))
    except ViewRefused as error:
        raise ViewRefused(f"{obstacle}, and no private view helps: {error}") from error


def _one_user(obstacle: str) -> Separation:
    us = Account(os.geteuid(), os.getegid())
    return Separation(Accounts(custodian=us, server=us, worker=us, linter=us, data=us.gid), obstacle)


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


def _code_folders() -> Iterator[Path]:
    """Yield the folders that hold the code of the services, and nothing else."""
    yield from (Path(sys.prefix), Path(sys.base_prefix))
    for names, level in ((_FOREIGN_PACKAGES, 1), (_OUR_PACKAGES, 0)):
        found = (find_spec(name) for name in names)
        yield from (Path(spec.origin).parents[level] for spec in found if spec is not None and spec.origin is not None)


def _named_paths(deployment: Deployment) -> Iterator[Path]:
    """Yield what may be a path in the settings of custodians and database, such as a PIN file outside HOME."""
    folder, texts = deployment.custodian_config.parent, list[str]()
    with contextlib.suppress(ServiceError):  # whoever reads it next says what is wrong with it
        texts += _texts(read_settings(deployment.custodian_config, MAX_SETTINGS_OCTETS))
    with contextlib.suppress(ServiceError):
        texts.append(deployment.settings().database_url or "")
    for text in texts:
        yield folder / text
        if not text.startswith("/"):
            yield from map(Path, _PATH_WITHIN.findall(text))


def _texts(value: object) -> Iterator[str]:
    """Yield every text in what was read from JSON."""
    if isinstance(value, str):
        yield value.replace("\0", "")
    elif isinstance(value, Mapping):
        yield from (text for member in value.values() for text in _texts(member))
    elif isinstance(value, list):
        yield from (text for member in value for text in _texts(member))
