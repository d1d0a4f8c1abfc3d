"""Since when what a file holds surely existed: the set of proofs of existence (EN 319 102-1 §5.6.2.3)."""

from collections.abc import Iterable
from datetime import datetime

from signer.validation.moment import Moment

Thing = str | bytes
"""What can be proven to have existed: a signature or time-stamp by its id, certificates and status by their DER."""


class Existence:
    """The earliest proof of existence of each thing; whatever has none exists at the validation time.

    It grows while time-stamps are judged, latest first, so that each is judged with the proofs of later ones.
    """

    def __init__(self, at: datetime) -> None:
        self.at = at
        self._proven: dict[Thing, datetime] = {}

    def extract(self, things: Iterable[Thing], at: datetime) -> None:
        """Take note that things existed at an instant."""
        for thing in things:
            self._proven[thing] = min(self._proven.get(thing, at), at)

    def of_all(self, things: Iterable[Thing]) -> datetime:
        """Return the earliest instant at which all of them existed."""
        return max((self._proven.get(thing, self.at) for thing in things), default=self.at)

    def of(self, thing: Thing) -> datetime:
        """Return the earliest instant at which a thing existed."""
        return self._proven.get(thing, self.at)

    def moment(self, thing: Thing) -> Moment:
        """Return the moment to judge a thing at."""
        proven = self._proven.get(thing)
        return Moment(at=self.at) if proven is None else Moment(at=proven, proven=True)
