"""Secrets divided among people: any m of n shares give the secret back, fewer say nothing about it.

What is divided is `salt || secret || tag`: the tag (HMAC-SHA256 under the salt, cut to 16 octets) finds a
combination that is not the one dealt, and the random salt keeps public commitments from telling a guessed secret.
The dealer keeps a `ShareSet`, which is public: it names each share's custodian with a salted SHA-256 of the share,
so a share that does not belong is named, not guessed. Octets are overwritten after use as far as Python lets us.
"""

import hmac
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from hashlib import sha256
from types import TracebackType
from typing import Final, NoReturn, Self

from hsm.errors import ShareForeign, ShareMalformed, ShareRepeated, SharesMissing, ShareWrong
from hsm.sharing.shamir import combine_octets, divide_octets
from hsm.sharing.share_set import ID_OCTETS, MAX_SECRET_OCTETS, MIN_SECRET_OCTETS, ShareSet, commitment_to
from hsm.sharing.share_text import read_groups, write_groups

_VERSION: Final = 1
_HEADER_OCTETS: Final = 1 + ID_OCTETS + 1
_SALT_OCTETS: Final = 16
_TAG_OCTETS: Final = 16
_CHECK_OCTETS: Final = 4
_FIXED_OCTETS: Final = _HEADER_OCTETS + _SALT_OCTETS + _TAG_OCTETS
MAX_SHARE_OCTETS: Final = _FIXED_OCTETS + MAX_SECRET_OCTETS


class Share:
    """One person's part of a secret. It shows itself only to who asks by name.

    Its octets are: version (2 bits) and octets of the secret less one (6 bits); the ceremony's id (5 octets); index
    less one and threshold less one (4 bits each); the values of the polynomials at the index.
    """

    __slots__ = ("_octets",)

    def __init__(self, octets: bytes | bytearray | memoryview) -> None:
        """Take a share's octets; ShareMalformed."""
        if not octets or len(octets) != _expected(octets[0]):
            raise ShareMalformed("a share of another length")
        self._octets = bytearray(octets)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what a person typed; ShareMalformed names the groups that are mistyped."""
        octets = read_groups(text, lambda first: _expected(first) + _CHECK_OCTETS)
        try:
            body = octets[:-_CHECK_OCTETS]
            if not hmac.compare_digest(_checksum(body), octets[-_CHECK_OCTETS:]):
                raise ShareMalformed("several groups are mistyped, or belong to different shares")
            return cls(body)
        finally:
            octets[:] = bytes(len(octets))

    def text(self) -> str:
        """Write the share for a person: groups of six symbols, parted by hyphens."""
        return "-".join(write_groups(self._octets + _checksum(self._octets)))

    def octets(self) -> bytearray:
        """Return a copy of the octets, for the caller to wipe."""
        return bytearray(self._octets)

    @property
    def set_id(self) -> bytes:
        """The ceremony's id."""
        return bytes(self._octets[1 : 1 + ID_OCTETS])

    @property
    def index(self) -> int:
        """Which share this is, from 1."""
        return (self._octets[_HEADER_OCTETS - 1] >> 4) + 1

    @property
    def threshold(self) -> int:
        """How many shares give the secret back."""
        return (self._octets[_HEADER_OCTETS - 1] & 15) + 1

    @property
    def secret_octets(self) -> int:
        """How long the divided secret is."""
        return (self._octets[0] & 63) + 1

    def value(self) -> bytearray:
        """Return a copy of the values of the polynomials, for the caller to wipe."""
        return self._octets[_HEADER_OCTETS:]

    def wipe(self) -> None:
        """Overwrite the values; what is left says whose share it was."""
        self._octets[_HEADER_OCTETS:] = bytes(len(self._octets) - _HEADER_OCTETS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wipe()

    def __repr__(self) -> str:
        return f"Share(index={self.index}, threshold={self.threshold}, …)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a share is not copied or pickled")


def _expected(first: int) -> int:
    size = (first & 63) + 1
    if first >> 6 != _VERSION or not MIN_SECRET_OCTETS <= size <= MAX_SECRET_OCTETS:
        raise ShareMalformed("not a share of a version known here", (1,))
    return _FIXED_OCTETS + size


def _checksum(octets: bytearray) -> bytes:
    return sha256(b"mohr share checksum v1\0" + octets).digest()[:_CHECK_OCTETS]


def _tag(set_id: bytes, threshold: int, salt: bytes | bytearray, secret: bytes | bytearray) -> bytes:
    context = b"mohr shared secret v1\0" + set_id + bytes((threshold, len(secret)))
    return hmac.digest(salt, context + secret, "sha256")[:_TAG_OCTETS]


def split_secret(
    secret: bytes | bytearray,
    *,
    threshold: int,
    custodians: Sequence[str],
    about: str,
    created: datetime,
    random_octets: Callable[[int], bytes],
) -> tuple[ShareSet, tuple[Share, ...]]:
    """Divide `secret` (16 to 64 octets) among named custodians (1 to 16), any `threshold` of whom give it back.

    `about` says for people what the secret opens. The caller hands out the shares and wipes them; the set is public.
    InvalidInput when the numbers or names cannot be.
    """
    set_id = random_octets(ID_OCTETS)
    salts = [random_octets(_SALT_OCTETS) for _ in custodians]
    draft = ShareSet.drafted(
        set_id, threshold=threshold, custodians=custodians, about=about, created=created, secret_octets=len(secret)
    )
    salt = random_octets(_SALT_OCTETS)
    wrapped = bytearray(salt) + secret + _tag(set_id, threshold, salt, secret)
    values = divide_octets(wrapped, threshold, len(custodians), random_octets)
    wrapped[:] = bytes(len(wrapped))
    shares = []
    for place, value in enumerate(values):
        header = bytes((_VERSION << 6 | len(secret) - 1, *set_id, place << 4 | threshold - 1))
        shares.append(Share(header + value))
        value[:] = bytes(len(value))
    digests = [commitment_to(share.octets(), salt) for share, salt in zip(shares, salts, strict=True)]
    return draft.committed(salts, digests), tuple(shares)


def check_share(share_set: ShareSet, share: Share) -> None:
    """See that `share` is the one that was dealt; ShareForeign or ShareWrong with its index and custodian."""
    if share.set_id != share_set.id:
        raise ShareForeign(f"share {share.index} is of another ceremony than {share_set.name}")
    if share.index > len(share_set.commitments):
        raise ShareWrong(f"there is no share {share.index} in ceremony {share_set.name}")
    dealt = share_set.commitments[share.index - 1]
    if not hmac.compare_digest(commitment_to(share.octets(), dealt.salt), dealt.digest):
        raise ShareWrong(f"share {share.index} is not the one that {dealt.custodian} was given")


def combine_shares(shares: Iterable[Share]) -> bytearray:
    """Return the secret that shares of one ceremony give; for when its `ShareSet` is lost, else `ShareCollection`.

    ShareForeign, ShareRepeated or SharesMissing; ShareWrong when one of them is wrong, without saying which. The
    caller wipes the secret.
    """
    given = list(shares)
    if not given:
        raise SharesMissing("no share was given")
    first = given[0]
    if len({(share.set_id, share.threshold, share.secret_octets) for share in given}) != 1:
        raise ShareForeign("the shares are not of one ceremony")
    if len({share.index for share in given}) != len(given):
        raise ShareRepeated("a share was given twice")
    if len(given) < first.threshold:
        raise SharesMissing(f"{first.threshold - len(given)} more shares are needed")
    points = {share.index: share.value() for share in given[: first.threshold]}
    wrapped = combine_octets(points)
    for value in points.values():
        value[:] = bytes(len(value))
    try:
        salt, secret, tag = wrapped[:_SALT_OCTETS], wrapped[_SALT_OCTETS:-_TAG_OCTETS], wrapped[-_TAG_OCTETS:]
        if not hmac.compare_digest(_tag(first.set_id, first.threshold, salt, secret), tag):
            secret[:] = bytes(len(secret))
            raise ShareWrong("the shares do not give the secret that was divided: one of them is wrong")
        return secret
    finally:
        wrapped[:] = bytes(len(wrapped))


class ShareCollection:
    """The shares of one set, taken one after the other; each is checked when it comes."""

    def __init__(self, share_set: ShareSet) -> None:
        self._set = share_set
        self._shares: dict[int, Share] = {}

    @property
    def missing(self) -> int:
        """How many shares are still needed."""
        return max(self._set.threshold - len(self._shares), 0)

    def add(self, share: Share) -> int:
        """Take a share and return how many are still needed; ShareForeign, ShareWrong, ShareRepeated."""
        check_share(self._set, share)
        if share.index in self._shares:
            raise ShareRepeated(f"share {share.index} was given already")
        self._shares[share.index] = share
        return self.missing

    def combine(self) -> bytearray:
        """Return the secret, which the caller wipes; SharesMissing."""
        if self.missing:
            raise SharesMissing(f"{self.missing} more shares are needed")
        return combine_shares(self._shares.values())

    def wipe(self) -> None:
        """Forget every share."""
        for share in self._shares.values():
            share.wipe()
        self._shares.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wipe()
