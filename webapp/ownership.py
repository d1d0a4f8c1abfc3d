"""Who owns what under HOME, and putting it so: no link is followed and nothing outside HOME is touched.

Root walks through folders that a service can write, so every entry is opened without following links, and only
folders and plain files with one name are changed.
"""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from webapp.deployment import Deployment
from webapp.system_users import Account, Accounts

_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_ROOT: Final = Account(0, 0)


@dataclass(frozen=True, slots=True)
class Place:
    """A folder, `whole` with everything below it, or a file, and how it should be.

    What is missing is passed over unless it is to be `made`, a folder.
    """

    path: Path
    uid: int
    gid: int
    folder_mode: int = 0o700
    file_mode: int = 0o600
    whole: bool = False
    made: bool = False

    def mode_of(self, status: os.stat_result) -> int:
        """Return the mode that an entry of this kind should have."""
        return self.folder_mode if stat.S_ISDIR(status.st_mode) else self.file_mode

    def fits(self, status: os.stat_result) -> bool:
        """Whether an entry is as it should be."""
        found = (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode))
        return found == (self.uid, self.gid, self.mode_of(status))


def places(deployment: Deployment, accounts: Accounts) -> tuple[Place, ...]:
    """Return every place of a deployment, outer ones first.

    The custodian's things are its own but for its policy. The server alone reads `secrets`; the worker alone writes
    what is published; both write the stored OCSP answers, and with the linter the database. A group bit on a folder
    hands its group to what is made there.
    """
    custodian, server, worker, data = accounts.custodian, accounts.server, accounts.worker, accounts.data
    ours = (custodian.uid, custodian.gid)
    sockets = deployment.custodian_sockets
    return (
        Place(deployment.home, *_ROOT, 0o755),
        Place(deployment.settings_file, *_ROOT, file_mode=0o644),
        Place(deployment.profiles_file, *_ROOT, file_mode=0o644),
        Place(deployment.identities_file, *_ROOT, file_mode=0o644),
        Place(deployment.backup_key, *_ROOT, file_mode=0o644),
        Place(deployment.requests, *_ROOT, 0o755, 0o644, whole=True),
        Place(deployment.root, *_ROOT, 0o700),
        Place(deployment.officers, *_ROOT, whole=True),
        Place(deployment.custodian_config.parent, *ours, whole=True),
        Place(deployment.policy_file, _ROOT.uid, custodian.gid, file_mode=0o640),
        Place(deployment.service_token.parent, *ours, whole=True),
        Place(deployment.secrets, server.uid, server.gid, whole=True),
        Place(deployment.database_file.parent, server.uid, data, 0o2770, 0o660, whole=True),
        Place(deployment.answers.parent, worker.uid, data, 0o2770, 0o660, whole=True, made=True),
        Place(deployment.public, worker.uid, data, 0o2755, 0o644, whole=True),
        Place(deployment.registry.parent, _ROOT.uid, data, 0o2750, 0o640, whole=True),
        Place(deployment.cache, server.uid, data, 0o2755),
        Place(deployment.run, *_ROOT, 0o755),
        *(Place(log, *_ROOT) for log in deployment.run.glob("*.log")),
        Place(deployment.worker_state.parent, worker.uid, data, 0o2750, whole=True, file_mode=0o640, made=True),
        Place(
            deployment.linter_state.parent,
            accounts.linter.uid,
            data,
            0o2750,
            whole=True,
            file_mode=0o640,
            made=True,
        ),
        Place(deployment.request_counts, server.uid, data, 0o2750, whole=True, file_mode=0o640, made=True),
        Place(deployment.outbox, worker.uid, worker.gid, whole=True, made=True),
        Place(deployment.ledger, worker.uid, worker.gid, whole=True, made=True),
        Place(deployment.publishing_lock, worker.uid, data),
        Place(sockets, *ours, 0o711, made=True),
        Place(deployment.keeper_sockets, *ours, 0o711, made=True),
        Place(sockets / "operator", *ours, 0o700, made=True),
        Place(sockets / "server", custodian.uid, server.gid, 0o2750, made=True),
        Place(sockets / "worker", custodian.uid, worker.gid, 0o2750, made=True),
    )


def settle(wanted: Sequence[Place]) -> int:
    """Put every place as it should be; return how many entries were changed. OSError where the system refuses."""
    changed, named = 0, frozenset(place.path for place in wanted)
    for place in wanted:
        if place.made:
            place.path.mkdir(exist_ok=True)
        changed += _settle(place.path, None, place, named)
    return changed


def _settle(path: Path, folder: int | None, place: Place, named: frozenset[Path]) -> int:
    """Settle what is at `path`, a name in the open `folder`; places below that are `named` have their own turn."""
    name = str(path) if folder is None else path.name
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        deeper = place.whole and stat.S_ISDIR(status.st_mode)
        if not _is_ours(status) or (place.fits(status) and not deeper):
            return 0
        descriptor = os.open(name, _OPEN, dir_fd=folder)
    except FileNotFoundError:  # services come and go meanwhile
        return 0
    try:
        changed = _change(descriptor, place)
        if deeper:
            with os.scandir(descriptor) as entries:
                below = [path / entry.name for entry in entries]
            changed += sum(_settle(entry, descriptor, place, named) for entry in below if entry not in named)
        return changed
    finally:
        os.close(descriptor)


def _change(descriptor: int, place: Place) -> int:
    """Give an entry its owner and mode, as what it is now that it is open."""
    status = os.fstat(descriptor)
    if place.fits(status) or not _is_ours(status):
        return 0
    os.fchown(descriptor, place.uid, place.gid)
    os.fchmod(descriptor, place.mode_of(status))
    return 1


def _is_ours(status: os.stat_result) -> bool:
    """Whether this is a folder or a plain file that has no other name elsewhere."""
    return stat.S_ISDIR(status.st_mode) or (stat.S_ISREG(status.st_mode) and status.st_nlink == 1)
