"""A flood of refusals told in a few lines: whoever asks for nonsense all day does not fill the journal.

Within a second the first few refusals of a kind (role, user, key, act, outcome) are written singly. The rest of
that kind are counted and told in one entry when the second is over: its `count` is how many, its `digest` the
SHA-256 of their digests one after the other. Kinds beyond a bound are told together under the key `*`.
"""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Final

from pki.journal import KeyUse, is_key

WINDOW_SECONDS: Final = 1.0
SINGLY_OF_A_KIND: Final = 4
SINGLY_IN_ALL: Final = 32
MAX_KINDS: Final = 16
OTHER_KEYS: Final = "*"
OTHER_ACTS: Final = "several"

_Kind = tuple[str, int, str, str, str]


class _Held:
    __slots__ = ("count", "digests", "last", "refusals", "written")

    def __init__(self) -> None:
        self.written = self.refusals = self.count = 0
        self.last: KeyUse | None = None
        self.digests = sha256()

    def add(self, use: KeyUse) -> None:
        self.last = use
        self.refusals += 1
        self.count += use.count
        self.digests.update(use.digest)

    def told(self) -> KeyUse | None:
        if self.last is None or self.refusals == 1:
            return self.last
        return replace(self.last, count=self.count, digest=self.digests.digest())


class RefusalFlood:
    """Say which refusals are written now and which are told later, together."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._kinds: dict[_Kind, _Held] = {}
        self._written = 0
        self._until = 0.0

    @property
    def ended(self) -> bool:
        """True when a second is over in which something was refused."""
        return bool(self._kinds) and self._monotonic() >= self._until

    def take(self, use: KeyUse) -> KeyUse | None:
        """Return what is to be written of a refusal now, or None when it will be told with others."""
        if not self._kinds:
            self._until = self._monotonic() + WINDOW_SECONDS
        if not is_key(use.key):
            use = replace(use, key=OTHER_KEYS)
        kind = (use.role, use.uid, use.key, use.act, use.outcome)
        if kind not in self._kinds and len(self._kinds) >= MAX_KINDS:
            use = replace(use, key=OTHER_KEYS, act=OTHER_ACTS)
            kind = (use.role, use.uid, use.key, use.act, use.outcome)
        held = self._kinds.setdefault(kind, _Held())
        if held.written < SINGLY_OF_A_KIND and self._written < SINGLY_IN_ALL:
            held.written += 1
            self._written += 1
            return use
        held.add(use)
        return None

    def end(self) -> list[KeyUse]:
        """Return what was held back, and begin anew."""
        told = [use for held in self._kinds.values() if (use := held.told()) is not None]
        self._kinds, self._written = {}, 0
        return told
