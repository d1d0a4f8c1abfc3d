"""The key that backups are encrypted to: public in HOME; people hold the other half, in shares or in a file of theirs.

Who makes a backup each night opens none. What a share set says in public travels in each backup, so that people who
hold shares open it where nothing else of the deployment is left.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self

from hsm.age.header import FILE_KEY_OCTETS, Header, Stanza, unwrap, write_header
from hsm.age.keys import KEY_OCTETS, Identity, Recipient
from hsm.sharing.share_set import ShareSet
from hsm.sharing.shares import Share, split_secret
from pki.errors import ErrorCode, InvalidInput, Unavailable
from pki.instants import format_instant
from pki.jose import canonical_json, json_object
from webapp.atomic_files import write_atomically
from webapp.deployment import Deployment
from webapp.recovery_archive import Sealing

_SHARES: Final = "mohr-shares"
_MEMBERS: Final = {"recipient", "share_set"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupKey:
    """What is public of the key; `share_set` None where somebody keeps the identity in a file."""

    recipient: Recipient
    share_set: ShareSet | None = None

    @classmethod
    def of(cls, deployment: Deployment) -> Self | None:
        """Read a deployment's, if it has one; InvalidInput."""
        try:
            members = json_object(deployment.backup_key.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unavailable(ErrorCode.FILE_UNREADABLE, deployment.backup_key.name) from error
        shares = members.get("share_set")
        known = members.keys() == _MEMBERS and isinstance(members["recipient"], str)
        if not known or not isinstance(shares, dict | None):
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, f"{deployment.backup_key.name} is of no version known here")
        share_set = None if shares is None else ShareSet.from_members(shares)
        return cls(recipient=Recipient.parse(members["recipient"]), share_set=share_set)

    def keep(self, deployment: Deployment) -> None:
        """Have backups encrypted to it from now on; those of before stay as they are."""
        share_set = None if self.share_set is None else self.share_set.members()
        written = canonical_json({"recipient": str(self.recipient), "share_set": share_set})
        write_atomically(deployment.backup_key, written + b"\n")

    def sealing(self, random_octets: Callable[[int], bytes]) -> Sealing:
        """Begin an archive."""
        file_key = random_octets(FILE_KEY_OCTETS)
        notes = () if self.share_set is None else (Stanza(_SHARES, (), canonical_json(self.share_set.members())),)
        header = write_header(file_key, self.recipient, notes, random_octets)
        return Sealing(header=header, file_key=file_key, random_octets=random_octets)


def divided_key(
    *,
    threshold: int,
    custodians: Sequence[str],
    about: str,
    created: datetime,
    random_octets: Callable[[int], bytes],
) -> tuple[BackupKey, ShareSet, tuple[Share, ...]]:
    """Make a key and divide it among people, as `split_secret` does; nobody has the whole of it any more."""
    identity = Identity(bytearray(random_octets(KEY_OCTETS)))
    try:
        recipient = identity.recipient
        share_set, shares = split_secret(
            identity.octets,
            threshold=threshold,
            custodians=custodians,
            about=about,
            created=created,
            random_octets=random_octets,
        )
    finally:
        identity.octets[:] = bytes(KEY_OCTETS)
    return BackupKey(recipient=recipient, share_set=share_set), share_set, shares


def about_backups(name: str, created: datetime) -> str:
    """Say for people what the shares open."""
    return f"backups of {name}, {format_instant(created)}"


def shares_of(header: Header) -> ShareSet | None:
    """Return whose shares open a backup, if shares do; InvalidInput. Its header is not proved yet."""
    note = header.note(_SHARES)
    return None if note is None else ShareSet.from_json(note)


def open_with(header: Header, identity: Identity) -> bytes:
    """Return a backup's key; VerificationFailed where it is for another. The identity is wiped."""
    try:
        return unwrap(header, identity)
    finally:
        identity.octets[:] = bytes(len(identity.octets))
