"""Whatever is combined and however it is paged: the search finds what a filter over the rows finds, in order."""

from __future__ import annotations

from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.inventory import queries
from ca.inventory.search import MIN_PREFIX, InventoryEntry, Search, entry_members, parse_search
from ca.status.revocation import CertificateState
from pki.errors import ErrorCode, InvalidInput
from tests.ca.inventory.conftest import Stock
from tests.ca.inventory.rows import FILES, HOLDERS, PROFESSIONS, PROVINCES, STATES
from tests.ca.world import START

_COLUMNS = ("holder", "file_id", "licence", "siam_id", "profession", "province", "state", "profile")


def holds(row: dict[str, Any], wanted: Search) -> bool:
    """Filter as plain Python says it."""
    end: datetime = row["not_after"]
    return (
        all(getattr(wanted, name) in (None, row[name]) for name in _COLUMNS)
        and wanted.serial in (None, row["serial"])
        and row["serial"].startswith(wanted.serial_prefix or "")
        and (wanted.expires_from is None or wanted.expires_from <= end)
        and (wanted.expires_before is None or end < wanted.expires_before)
    )


def expected(stock: Stock, wanted: Search) -> list[str]:
    found = [row for row in stock.rows if holds(row, wanted)]
    ordered = sorted(found, key=itemgetter("not_after")) if wanted.by_end else found[::-1]
    return [row["serial"] for row in ordered]


def all_pages(stock: Stock, wanted: Search, size: int) -> list[InventoryEntry]:
    found: list[InventoryEntry] = []
    after = None
    while True:
        with stock.database.read() as connection:
            page = queries.search(connection, wanted, after=after, limit=size)
        assert len(page.entries) <= size
        assert page.next is None or len(page.entries) == size
        found += page.entries
        after = page.next
        if after is None:
            return found


def maybe(*values: Any) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), st.none(), st.sampled_from(values))


_INSTANTS = tuple(START + timedelta(days=day, seconds=1) for day in range(-5, 125, 10))
_SEARCHES = st.builds(
    Search,
    serial_prefix=maybe("0000", "0001", "00010", "ffff"),
    holder=maybe(*HOLDERS, "c-1001", "nobody"),
    file_id=maybe(*FILES, "absent"),
    licence=maybe("10000", "10005", "1"),
    siam_id=maybe("c-1001", "c-1005"),
    profession=maybe(*PROFESSIONS),
    province=maybe(*PROVINCES),
    state=maybe(*STATES),
    profile=maybe("clin-sign", "hix-tls"),
    expires_from=maybe(*_INSTANTS),
    expires_before=maybe(*_INSTANTS),
)


@given(wanted=_SEARCHES, size=st.one_of(st.integers(1, 40), st.just(1000)))
def test_any_combination_finds_what_a_filter_over_the_rows_finds_in_order_over_pages_of_any_size(
    stock: Stock, wanted: Search, size: int
) -> None:
    assert [entry.serial for entry in all_pages(stock, wanted, size)] == expected(stock, wanted)


@given(data=st.data())
def test_each_certificate_is_found_by_its_serial_number_and_by_each_beginning_of_it(
    stock: Stock, data: st.DataObject
) -> None:
    row = data.draw(st.sampled_from(stock.rows))
    digits = data.draw(st.integers(MIN_PREFIX, len(row["serial"])))
    assert [entry.serial for entry in all_pages(stock, Search(serial=row["serial"]), 5)] == [row["serial"]]
    prefix = Search(serial_prefix=row["serial"][:digits])
    assert row["serial"] in [entry.serial for entry in all_pages(stock, prefix, 7)]


def test_an_entry_says_what_the_row_says_and_no_national_code(stock: Stock) -> None:
    rows = {row["serial"]: row for row in stock.rows}
    for entry in all_pages(stock, Search(), 90):
        row = rows[entry.serial]
        members = entry_members(entry)
        assert (members["state"], members["council_number"], members["file"]) == (
            row["state"],
            row["licence"],
            row["file_id"],
        )
        assert entry.not_after == row["not_after"]
        assert entry.issued_at == row["issued_at"]
        assert row["issuer"] != "persons" or row["holder"] not in map(str, members.values())


def test_words_are_read_as_people_write_them() -> None:
    found = parse_search(
        {
            "serial": "0A:bC",
            "council_number": "۱۲۳۴۵",
            "siam_id": "C-1001",
            "province": " تهران ",
            "state": "good",
            "expires_before": "2027-01-01T03:30:00+03:30",
            "profile": None,
        }
    )
    assert (found.serial, found.licence, found.siam_id, found.province) == ("0abc", "12345", "c-1001", "تهران")
    assert found.expires_before == datetime.fromisoformat("2027-01-01T00:00:00+00:00")
    assert found.asked == ("serial", "licence", "siam_id", "province", "state", "expires_before")


@pytest.mark.parametrize(
    "members",
    [
        {"nonsense": "a"},
        {"holder": 12},
        {"holder": ""},
        {"holder": "a" * 65},
        {"profession": "a\0b"},
        {"file": "\udcff"},
        {"serial_prefix": "abc"},
        {"serial_prefix": "zzzz"},
        {"serial": "zz"},
        {"state": "dead"},
        {"expires_from": "tomorrow"},
    ],
)
def test_words_that_no_row_can_hold_are_refused(members: dict[str, object]) -> None:
    with pytest.raises(InvalidInput) as refusal:
        parse_search(members)
    assert refusal.value.code is ErrorCode.INPUT_MALFORMED


def test_a_place_that_is_none_is_refused(stock: Stock) -> None:
    with stock.database.read() as connection, pytest.raises(InvalidInput):
        queries.search(connection, Search(), after="ab", limit=5)


def test_a_search_shows_no_identifier_when_it_is_printed() -> None:
    assert "0000012343" not in repr(Search(holder="0000012343", licence="12345"))


def test_the_rarest_word_leads_by_what_was_counted() -> None:
    wanted = Search(profession="nurse", province="یزد", state=CertificateState.GOOD)
    assert queries.leading_word(wanted, {}) == "profession"
    assert queries.leading_word(wanted, {"profession": 9, "province": 2, "state": 5}) == "province"
    assert queries.leading_word(Search(profile="a", state=CertificateState.REVOKED), {}) == "state"
    assert queries.leading_word(Search(serial="ab", state=CertificateState.REVOKED), {"state": 0}) == "serial"
    assert queries.leading_word(Search(), {}) == "id"
