"""The gate in front of every list: what it says that the one before did not, and what it no longer says.

A list is compared with the pages of the published one, not with any record of what changed: an entry that was lost
without an event is found too. A page of the same digest is the same page; of another, every entry is compared.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from ca.errors import CrlRegression
from ca.status.crl import CrlSummary, split_entries
from ca.status.list_rows import ChangedPage, Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The entries of a list to be, beside those of the published one.

    `runs` are what the list is made of, where one is made. `changed` are the digests of pages that are new or another
    now, `vanished` pages that are no more. `lost` are entries of certificates that are no longer listed, `differing`
    the octets of the serial numbers of all certificates about which the two say something else.
    """

    runs: tuple[Run, ...]
    changed: Mapping[int, bytes]
    vanished: tuple[int, ...]
    lost: tuple[bytes, ...]
    differing: frozenset[bytes]

    def pages_in(self, built: CrlSummary) -> tuple[ChangedPage, ...]:
        """Say where the changed pages lie in the list that was built of the runs."""
        found, offset = [], built.start
        for run in self.runs:
            digest = self.changed.get(run.page)
            if digest is not None:
                found.append(ChangedPage(run.page, digest, offset, offset + len(run.content)))
            offset += len(run.content)
        return tuple(found)


def compare(
    runs: Iterable[Run],
    known: Mapping[int, bytes] | None,
    content: Callable[[int], bytes],
    whole: bytes = b"",
    *,
    keep: bool = True,
) -> Comparison:
    """Compare runs with pages `known` by their digests, whose `content` is asked for where it matters.

    `known` is None where there is no published list: then nothing can be lost, and nothing differs. `whole` is all
    entries of a published list that has no pages. Without `keep` nothing is left of the runs but what differs.
    CrlRegression for entries that are malformed or twice in a page.
    """
    kept: list[Run] = []
    seen: set[int] = set()
    changed: dict[int, bytes] = {}
    before: dict[bytes, bytes] = split_entries(whole)
    after: dict[bytes, bytes] = {}
    for run in runs:
        seen.add(run.page)
        if keep:
            kept.append(run)
        digest = sha256(run.content).digest()
        if known is not None and known.get(run.page) == digest:
            continue
        changed[run.page] = digest
        entries = split_entries(run.content)
        if len(entries) != run.entries:
            raise CrlRegression("the entries of a page are not as many as its rows")
        if known is not None:
            published = split_entries(content(run.page)) if run.page in known else {}
            before |= published.items() - entries.items()
            after |= entries.items() - published.items()
    vanished = tuple((known or {}).keys() - seen)
    for page in vanished:
        before |= split_entries(content(page))
    return Comparison(
        runs=tuple(kept),
        changed=changed,
        vanished=vanished,
        lost=tuple(before[serial] for serial in before.keys() - after.keys()),
        differing=frozenset(serial for serial, _entry in before.items() ^ after.items()),
    )


def check_follows(previous: CrlSummary, candidate: CrlSummary, forgiven: datetime | None = None) -> None:
    """Check that a list may follow another: the same issuer and place, a higher number, no older time.

    CrlRegression. An older time may follow one up to `forgiven`: an officer knows that the clock was wrong then.
    """
    if (candidate.issuer_der, candidate.url) != (previous.issuer_der, previous.url):
        raise CrlRegression("another issuer or distribution point than before")
    if candidate.number <= previous.number:
        raise CrlRegression(f"number {candidate.number} does not follow {previous.number}")
    known_wrong = forgiven is not None and previous.this_update <= forgiven
    if candidate.this_update < previous.this_update and not known_wrong:
        raise CrlRegression("thisUpdate is older than before")
