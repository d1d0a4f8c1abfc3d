"""The gate compares pages: whatever a list lost is named, whether or not anything recorded why."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.errors import CrlRegression
from ca.status.crl import encode_removal, split_entries
from ca.status.list_gate import compare
from ca.status.list_rows import Run
from ca.status.revocation import CertificateState, RevocationReason, Status, encode_crl_entry
from tests.ca.world import START

Entries = dict[int, bytes]  # by register id; the serial number is the id plus a thousand
PER_PAGE = 4


def entry(number: int, reason: RevocationReason = RevocationReason.SUPERSEDED) -> bytes:
    return encode_crl_entry(number + 1000, Status(state=CertificateState.REVOKED, revoked_at=START, reason=reason))


def octets(number: int) -> bytes:
    return next(iter(split_entries(entry(number))))


def runs(entries: Entries) -> list[Run]:
    pages: dict[int, list[bytes]] = {}
    for number in sorted(entries):
        pages.setdefault(number // PER_PAGE, []).append(entries[number])
    return [Run(page, b"".join(some), len(some)) for page, some in pages.items()]


entries = st.dictionaries(st.integers(0, 20), st.sampled_from(list(RevocationReason)), max_size=16).map(
    lambda found: {number: entry(number, reason) for number, reason in found.items()}
)


@given(before=entries, after=entries, whole=st.booleans())
def test_what_is_lost_and_what_differs_is_named_exactly(before: Entries, after: Entries, whole: bool) -> None:
    published = {run.page: run.content for run in runs(before)}
    if whole:  # a list that has no pages
        found = compare(runs(after), {}, lambda _page: b"", b"".join(published.values()))
    else:
        digests = {page: sha256(content).digest() for page, content in published.items()}
        found = compare(runs(after), digests, published.__getitem__)
    assert sorted(found.lost) == sorted(before[number] for number in before.keys() - after.keys())
    assert found.differing == {octets(number) for number, _entry in before.items() ^ after.items()}
    if not whole:
        changed = {run.page for run in runs(after) if published.get(run.page) != run.content}
        vanished = published.keys() - {run.page for run in found.runs}
        assert (set(found.changed), set(found.vanished)) == (changed, vanished)


@given(before=entries, lost=st.data())
def test_no_entry_is_lost_unseen(before: Entries, lost: st.DataObject) -> None:
    if not before:
        return
    gone = lost.draw(st.sampled_from(sorted(before)))
    published = {run.page: run.content for run in runs(before)}
    digests = {page: sha256(content).digest() for page, content in published.items()}
    left = {number: one for number, one in before.items() if number != gone}
    assert compare(runs(left), digests, published.__getitem__).lost == (before[gone],)


def test_pages_of_the_same_digest_are_not_read() -> None:
    made = runs({number: entry(number) for number in range(9)})
    digests = {run.page: sha256(run.content).digest() for run in made}
    found = compare(made, digests, lambda page: pytest.fail(f"page {page} was read"))
    assert (found.changed, found.vanished, found.lost, found.differing) == ({}, (), (), frozenset())


def test_a_page_with_another_number_of_entries_than_rows_is_stopped() -> None:
    with pytest.raises(CrlRegression, match="as many as"):
        compare([Run(0, entry(1) + entry(2), 3)], {}, lambda _page: b"")


def test_a_removal_is_an_entry_of_that_serial_number() -> None:
    assert split_entries(encode_removal(1001, START)).keys() == {octets(1)}
