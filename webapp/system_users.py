"""The system users that the parts of a deployment run as: made once by root, then only looked up (useradd(8))."""

import grp
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from typing import Final, NamedTuple

CUSTODIAN: Final = "mohr-custodian"
SERVER: Final = "mohr-server"
WORKER: Final = "mohr-worker"
LINTER: Final = "mohr-linter"
DATA_GROUP: Final = "mohr-data"

_ADMINISTRATORS_PATH: Final = f"{os.defpath}:/usr/sbin:/sbin"
_DEADLINE_SECONDS: Final = 20


class Account(NamedTuple):
    """A user by its numbers."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """Who is who; `data` is the group that server, worker and linter share."""

    custodian: Account
    server: Account
    worker: Account
    linter: Account
    data: int


class UsersMissing(Exception):
    """The system users are not there and cannot be made; says why in one phrase."""


def system_accounts() -> Accounts:
    """Look the system users up, and make what is missing of them; UsersMissing where that is refused."""
    data = _group()
    return Accounts(
        custodian=_user(CUSTODIAN),
        server=_user(SERVER, DATA_GROUP),
        worker=_user(WORKER, DATA_GROUP),
        linter=_user(LINTER, DATA_GROUP),
        data=data,
    )


def _group() -> int:
    try:
        return grp.getgrnam(DATA_GROUP).gr_gid
    except KeyError:
        _administer("groupadd", "--system", DATA_GROUP)
    return grp.getgrnam(DATA_GROUP).gr_gid


def _user(name: str, group: str | None = None) -> Account:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        nobody_logs_in = ("--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin")
        _administer("useradd", "--system", "--user-group", *nobody_logs_in, name)
        entry = pwd.getpwnam(name)
    if entry.pw_uid == 0 or entry.pw_gid == 0:
        raise UsersMissing(f"{name} is root")
    if group is not None and name not in grp.getgrnam(group).gr_mem:
        _administer("usermod", "--append", "--groups", group, name)
    return Account(entry.pw_uid, entry.pw_gid)


def _administer(program: str, *arguments: str) -> None:
    path = shutil.which(program, path=_ADMINISTRATORS_PATH)
    if path is None:
        raise UsersMissing(f"this system has no {program}")
    try:
        ended = subprocess.run(  # noqa: S603 - the system's own program, no argument from outside
            [path, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=_DEADLINE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsersMissing(f"{program} does not run") from error
    if ended.returncode != 0:
        raise UsersMissing(f"{program} refused: {ended.stderr.decode(errors='replace').strip()[-120:]}")
