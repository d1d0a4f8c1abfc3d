"""The public record of a division: who got a share, how many are needed, and a commitment to each share."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, Self

from pki.errors import ErrorCode, InvalidInput
from pki.instants import format_instant, parse_instant
from pki.jose import canonical_json, json_object

MAX_SHARES: Final = 16
MIN_SECRET_OCTETS: Final = 16
MAX_SECRET_OCTETS: Final = 64
MAX_SET_OCTETS: Final = 16_384
ID_OCTETS: Final = 5

_VERSION: Final = 1
_SALT_OCTETS: Final = 16
_DIGEST_OCTETS: Final = 32
_MAX_NAME_OCTETS: Final = 128
_MAX_ABOUT_OCTETS: Final = 256
_MEMBERS: Final = {
    "version": int,
    "id": str,
    "about": str,
    "created": str,
    "threshold": int,
    "secret_octets": int,
    "shares": list,
}


def _refuse(reason: str) -> InvalidInput:
    return InvalidInput(ErrorCode.INPUT_MALFORMED, reason)


def commitment_to(octets: bytearray, salt: bytes) -> bytes:
    """Return the salted SHA-256 of a share, and wipe `octets`."""
    digest = sha256(b"mohr share commitment v1\0" + salt + octets).digest()
    octets[:] = bytes(len(octets))
    return digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitment:
    """What is public of one share; its index is its place in the set, from 1."""

    custodian: str
    salt: bytes = bytes(_SALT_OCTETS)
    digest: bytes = bytes(_DIGEST_OCTETS)

    def __post_init__(self) -> None:
        _check_text(self.custodian, _MAX_NAME_OCTETS)
        if len(self.salt) != _SALT_OCTETS or len(self.digest) != _DIGEST_OCTETS:
            raise _refuse("a commitment of another length")


def _check_text(text: str, limit: int) -> None:
    if not text.strip() or len(text.encode("utf-8", "replace")) > limit or not text.isprintable():
        raise _refuse(f"a name or description is 1 to {limit} octets of printable text")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareSet:
    """One division of one secret. `created` is an aware UTC instant, `about` says what the secret opens."""

    id: bytes
    about: str
    created: datetime
    threshold: int
    secret_octets: int
    commitments: tuple[Commitment, ...]

    def __post_init__(self) -> None:
        if len(self.id) != ID_OCTETS:
            raise _refuse("a ceremony's id has another length")
        if not 1 <= len(self.commitments) <= MAX_SHARES:
            raise _refuse(f"a secret is divided among 1 to {MAX_SHARES} custodians")
        if not 1 <= self.threshold <= len(self.commitments):
            raise _refuse("the threshold is at least 1 and at most the number of custodians")
        if not MIN_SECRET_OCTETS <= self.secret_octets <= MAX_SECRET_OCTETS:
            raise _refuse(f"a divided secret has {MIN_SECRET_OCTETS} to {MAX_SECRET_OCTETS} octets")
        if len({commitment.custodian for commitment in self.commitments}) != len(self.commitments):
            raise _refuse("two custodians have the same name")
        _check_text(self.about, _MAX_ABOUT_OCTETS)

    @classmethod
    def drafted(
        cls,
        set_id: bytes,
        *,
        threshold: int,
        custodians: Sequence[str],
        about: str,
        created: datetime,
        secret_octets: int,
    ) -> Self:
        """Return a set that names everybody and commits to nothing yet; InvalidInput."""
        return cls(
            id=set_id,
            about=about,
            created=created,
            threshold=threshold,
            secret_octets=secret_octets,
            commitments=tuple(Commitment(custodian=name) for name in custodians),
        )

    def committed(self, salts: Sequence[bytes], digests: Sequence[bytes]) -> Self:
        """Return the set with its commitments, one for each custodian."""
        commitments = tuple(
            replace(drafted, salt=salt, digest=digest)
            for drafted, salt, digest in zip(self.commitments, salts, digests, strict=True)
        )
        return replace(self, commitments=commitments)

    @property
    def name(self) -> str:
        """The ceremony's id as people see it."""
        return self.id.hex().upper()

    def members(self) -> dict[str, Any]:
        """Return the record as JSON members, to stand in another record."""
        return {
            "version": _VERSION,
            "id": self.id.hex(),
            "about": self.about,
            "created": format_instant(self.created),
            "threshold": self.threshold,
            "secret_octets": self.secret_octets,
            "shares": [
                {"custodian": one.custodian, "salt": one.salt.hex(), "digest": one.digest.hex()}
                for one in self.commitments
            ],
        }

    def to_json(self) -> bytes:
        """Write the record."""
        return canonical_json(self.members()) + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read a record strictly; InvalidInput."""
        if len(data) > MAX_SET_OCTETS:
            raise _refuse("more octets than a share set has")
        return cls.from_members(json_object(data))

    @classmethod
    def from_members(cls, members: dict[str, Any]) -> Self:
        """Read the JSON members of a record strictly; InvalidInput."""
        if members.keys() != _MEMBERS.keys() or any(type(members[name]) is not kind for name, kind in _MEMBERS.items()):
            raise _refuse("a share set has other members")
        if members["version"] != _VERSION:
            raise _refuse("a share set of a version not known here")
        return cls(
            id=_octets(members["id"]),
            about=members["about"],
            created=parse_instant(members["created"]),
            threshold=members["threshold"],
            secret_octets=members["secret_octets"],
            commitments=tuple(_commitment(one) for one in members["shares"]),
        )


def _commitment(member: object) -> Commitment:
    if not isinstance(member, dict) or member.keys() != {"custodian", "salt", "digest"}:
        raise _refuse("a commitment has other members")
    if not all(isinstance(value, str) for value in member.values()):
        raise _refuse("a commitment holds text only")
    return Commitment(custodian=member["custodian"], salt=_octets(member["salt"]), digest=_octets(member["digest"]))


def _octets(text: str) -> bytes:
    try:
        octets = bytes.fromhex(text)
    except ValueError as error:
        raise _refuse("not hexadecimal") from error
    if octets.hex() != text:
        raise _refuse("hexadecimal is written in small letters without spaces")
    return octets
