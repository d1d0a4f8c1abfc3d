from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ca.status.answer_file import FORMAT
from ca.status.answer_place import Place
from ca.status.answer_store import AnswerStore, ChangedStatus, SignedAnswer
from ca.status.ocsp import issuer_prefix, usual_cert_id
from pki.certificates import Certificate
from pki.errors import ErrorCode, Unavailable
from tests.ca.status.test_ocsp import request
from tests.support.pki import make_root

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW, END = 1_000_000, 1_086_400
ISSUER = make_root().certificate
PREFIX = issuer_prefix(ISSUER)
SERIALS = ("01", "7f", "80", "0123456789abcdef0123456789abcdef")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AnswerStore]:
    made = AnswerStore(tmp_path / "answers" / "answers.db")
    made.place(make=True)
    yield made
    made.close()


def answer(serial: str = "01", version: int = 1, *, signed: bytes = b"signed", this_update: int = NOW) -> SignedAnswer:
    return SignedAnswer(serial_hex=serial, version=version, this_update=this_update, next_update=END, signed=signed)


def put(store: AnswerStore, *answers: SignedAnswer, delegate: Certificate = ISSUER, prefix: bytes = PREFIX) -> None:
    store.put("persons", prefix, delegate, answers)


def withdraw(store: AnswerStore, serial: str = "01", version: int = 1, *, good: bool = False) -> None:
    store.withdraw([ChangedStatus("persons", serial, version, good)])


def ask(serial: str = "01", prefix: bytes = PREFIX) -> bytes:
    return request(usual_cert_id(prefix, int(serial, 16)))


@pytest.mark.parametrize("serial", SERIALS)
def test_what_was_put_is_found_by_the_octets_of_a_plain_request(store: AnswerStore, serial: str) -> None:
    put(store, *(answer(each, signed=each.encode()) for each in SERIALS))
    found = store.find(ask(serial), NOW)
    assert found is not None
    assert serial.encode() in found.der
    assert (found.this_update, found.next_update) == (NOW, END)


@pytest.mark.parametrize(("now", "holds"), [(NOW - 1, False), (NOW, True), (END - 0.001, True), (END, False)])
def test_an_answer_is_given_from_its_first_second_until_its_end(store: AnswerStore, now: float, *, holds: bool) -> None:
    put(store, answer())
    assert (store.find(ask(), now) is not None) is holds


@pytest.mark.parametrize("cut", range(len(ask())))
def test_a_request_that_is_cut_short_finds_nothing(cut: int, tmp_path: Path) -> None:
    assert AnswerStore(tmp_path / "none.db").find(ask()[:cut], NOW) is None


@given(st.binary(max_size=120) | st.binary(max_size=40).map(lambda tail: ask()[:67] + tail))
def test_no_octets_make_finding_fail(data: bytes) -> None:
    assert AnswerStore(Path("/nonexistent/answers.db")).find(data, NOW) is None


def test_an_answer_for_another_issuer_is_not_found(store: AnswerStore) -> None:
    put(store, answer())
    assert store.find(ask(prefix=issuer_prefix(make_root().certificate)), NOW) is None


def test_under_a_new_key_an_issuer_has_nothing_signed(store: AnswerStore) -> None:
    put(store, answer("01"), answer("7f"))
    assert store.find(ask(), NOW) is not None
    other = issuer_prefix(make_root().certificate)
    put(store, answer("7f"), prefix=other)
    assert store.find(ask(), NOW) is None
    assert store.find(ask("7f"), NOW) is None
    assert store.find(ask("7f", other), NOW) is not None
    assert store.withdrawn("persons", 9) == ["01"]


def test_what_was_read_before_a_change_is_not_put_after_it(store: AnswerStore) -> None:
    put(store, answer(version=1))
    withdraw(store, version=2)
    put(store, answer(version=1, this_update=NOW + 5))
    assert store.find(ask(), NOW + 9) is None
    put(store, answer(version=2))
    assert store.find(ask(), NOW + 9) is not None


_Act = st.tuples(st.sampled_from(("put", "withdraw")), st.integers(1, 4), st.integers(0, 3))


@settings(max_examples=60)
@given(st.lists(_Act, max_size=12))
def test_in_whatever_order_writers_come_the_latest_version_stays(acts: list[tuple[str, int, int]]) -> None:
    latest: int = 0
    told: tuple[int, int] | None = None
    store = _STORES[0]
    store.forget("persons", ["01"])
    for kind, version, later in acts:
        if kind == "withdraw":
            withdraw(store, version=version)
            if version > latest:
                latest, told = version, None
        else:
            put(store, answer(version=version, this_update=NOW + later, signed=bytes([version, later])))
            if version > latest or (version == latest and (told is None or later >= told[1])):
                latest, told = version, (version, later)
        found = store.find(ask(), NOW + 9)
        assert (found is None) is (told is None)
        if found is not None and told is not None:
            assert bytes(told) in found.der


_STORES: list[AnswerStore] = []


@pytest.fixture(autouse=True, scope="module")
def _one_for_all_examples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    made = AnswerStore(tmp_path_factory.mktemp("answers") / "answers.db")
    made.place(make=True)
    _STORES.append(made)
    yield
    _STORES.pop().close()


def test_a_delegate_that_is_revoked_takes_its_answers_along(store: AnswerStore) -> None:
    other = make_root().certificate
    put(store, answer("01"), answer("7f"))
    put(store, answer("7f"), delegate=other)
    withdraw(store, ISSUER.serial_hex, 2, good=True)
    assert store.find(ask(), NOW) is not None
    withdraw(store, ISSUER.serial_hex, 3)
    assert store.find(ask(), NOW) is None
    assert store.find(ask("7f"), NOW) is not None


def test_a_delegate_ends_at_once_and_its_answers_are_cleared_later(store: AnswerStore) -> None:
    put(store, answer("01"), answer("02"))
    with closing(sqlite3.connect(store.path)) as file:
        before = file.execute("SELECT count(*) FROM answers WHERE signed IS NOT NULL").fetchone()
        withdraw(store, ISSUER.serial_hex, 3)
        assert file.execute("SELECT count(*) FROM answers WHERE signed IS NOT NULL").fetchone() == before
    assert store.find(ask(), NOW) is None
    assert store.kept()[0].waiting == 3
    with pytest.raises(Unavailable):
        put(store, answer("03"))
    store.clear("persons", store.by_ended("persons", 1))
    assert store.by_ended("persons", 9) == ["02"]
    withdraw(store, ISSUER.serial_hex, 2, good=True)
    assert store.find(ask("02"), NOW) is None


def test_other_processes_see_what_one_withdraws(store: AnswerStore) -> None:
    put(store, answer())
    with closing(AnswerStore(store.path)) as other:
        assert other.find(ask(), NOW) is not None
        withdraw(store, version=2)
        assert other.find(ask(), NOW) is None


class Long(list[SignedAnswer]):
    """Answers whose writing takes until it is told to end."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.ends = threading.Event(), threading.Event()

    def __iter__(self) -> Iterator[SignedAnswer]:
        self.begun.set()
        assert self.ends.wait(10)
        return super().__iter__()


def test_a_change_does_not_wait_for_a_long_write(store: AnswerStore, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, answer())
    monkeypatch.setattr("ca.status.answer_store.WITHDRAW_SECONDS", 0.05)
    long = Long()
    writer = threading.Thread(target=store.put, args=("persons", PREFIX, ISSUER, long))
    writer.start()
    try:
        assert long.begun.wait(10)
        with closing(AnswerStore(store.path)) as other_process:
            for each in (store, other_process):
                with pytest.raises(Unavailable):
                    withdraw(each, version=2)
                assert writer.is_alive()
    finally:
        long.ends.set()
        writer.join()
    withdraw(store, version=2)
    assert store.find(ask(), NOW) is None


def test_a_store_that_is_not_trusted_answers_nothing(store: AnswerStore) -> None:
    put(store, answer())
    store.distrust()
    assert store.find(ask(), NOW) is None
    store.trust()
    assert store.find(ask(), NOW) is not None


# --- the file ---------------------------------------------------------------------------------------


def break_format(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version={FORMAT + 1}")


def break_head(path: Path) -> None:
    path.write_bytes(b"not a database" + path.read_bytes()[14:])


def break_pages(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))


def break_schema(path: Path) -> None:
    """Spoil a table's definition, which SQLite quotes in its complaint: no UTF-8."""
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE answers", b"CRE\xceTE TABLE answers"))


def lose_delegates(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM delegates")


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("spoil", [break_format, break_head, break_pages, break_schema, lose_delegates, empty])
def test_a_file_that_cannot_be_read_is_set_aside_and_never_served_from(store: AnswerStore, spoil: object) -> None:
    put(store, answer())
    store.close()
    assert callable(spoil)
    spoil(store.path)
    assert store.find(ask(), NOW) is None
    store.check()
    assert store.place(make=True) is None
    assert store.path.with_name("answers.db.damaged").exists()
    put(store, answer())
    assert store.find(ask(), NOW) is not None


@pytest.mark.parametrize("value", ["CAST(x'37ce20' AS TEXT)", "'seven 01 2026'", "''", "NULL"])
def test_a_file_that_does_not_know_its_place_any_more_is_set_aside(store: AnswerStore, value: str) -> None:
    store.begin(Place(7, "01", "2026-11-22T09:00:00+00:00"))
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute(f"UPDATE facts SET value={value} WHERE name='place'")  # noqa: S608 - a value of this test
    with pytest.raises(Unavailable):
        store.place()
    assert store.place() is None
    assert store.path.with_name("answers.db.damaged").exists()


@pytest.mark.parametrize(("column", "value"), [("signed", b"forged"), ("next_update", END + 9), ("this_update", 0)])
def test_an_answer_whose_octets_changed_on_disk_is_withdrawn(store: AnswerStore, column: str, value: object) -> None:
    put(store, answer())
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute(f"UPDATE answers SET {column}=?", (value,))  # noqa: S608 - a name of this test
    assert store.find(ask(), NOW) is None
    assert store.withdrawn("persons", 9) == ["01"]


def test_a_file_that_is_gone_is_made_again(store: AnswerStore) -> None:
    put(store, answer())
    store.close()
    store.path.unlink()
    with pytest.raises(Unavailable) as caught:
        withdraw(store, version=2)
    assert caught.value.code is ErrorCode.FILE_UNREADABLE
    assert store.place(make=True) is None
    put(store, answer())
    with closing(AnswerStore(store.path)) as other:
        assert other.find(ask(), NOW) is not None


def test_a_transaction_that_fails_leaves_everything_as_it_was(store: AnswerStore) -> None:
    put(store, answer())
    with pytest.raises(ValueError, match="invalid literal"):
        store.withdraw([ChangedStatus("persons", "01", 2, False), ChangedStatus("persons", "no number", 2, False)])
    assert store.find(ask(), NOW) is not None
    withdraw(store, version=2)


def test_where_it_stands_is_kept_with_what_was_withdrawn(store: AnswerStore) -> None:
    assert store.place() is None
    store.begin(Place(0, "", ""))
    assert store.place() == Place(0, "", "")
    place = Place(7, "01", "2026-11-22T09:00:00+00:00")
    store.withdraw([ChangedStatus("persons", "01", 2, True)], place)
    assert store.place() == place
    assert store.filled() == ""
    store.fill("7f")
    assert store.filled() == "7f"
    store.fill(None)
    assert store.filled() is None
    store.begin(place)
    assert (store.filled(), store.withdrawn("persons", 9)) == ("", [])


def test_the_file_is_for_server_and_worker_and_nobody_else(store: AnswerStore) -> None:
    assert store.path.stat().st_mode & 0o777 == 0o660
