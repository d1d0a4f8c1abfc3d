"""What persons do wrong, and what becomes of it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from ca.ceremony.console import groups_of, read_aloud, spoken
from ca.ceremony.custodians import collect, hand_out
from ca.ceremony.errors import CeremonyStopped
from hsm.errors import PinIncorrect
from hsm.sharing.share_set import ShareSet
from hsm.sharing.shares import split_secret
from pki.errors import ErrorCode
from tests.ca.ceremony.persons import Persons
from tests.ca.ceremony.rehearsal import Rehearsal, example
from tests.ca.world import START

SECRET = bytes(range(32))
NAMES = ("Custodian One", "Custodian Two", "Custodian Three")
TOKEN = "mohr-root"


def octets() -> Iterator[bytes]:
    value = 1
    while True:
        yield value.to_bytes(4)
        value += 1


def random_octets(size: int) -> bytes:
    stream = octets()
    return b"".join(next(stream) for _ in range(size // 4 + 1))[:size]


@pytest.fixture
def handed() -> tuple[Persons, ShareSet]:
    persons, told = Persons(), []
    share_set, shares = split_secret(
        SECRET,
        threshold=2,
        custodians=NAMES,
        about=f"PIN of token {TOKEN}, ceremony x",
        created=START,
        random_octets=random_octets,
    )
    hand_out(persons, share_set, shares, lambda what, whom: told.append((what, whom)))
    assert told == [("share-given", name) for name in NAMES]
    return persons, share_set


def paper(persons: Persons, name: str) -> str:
    return persons.papers[name, TOKEN]


def test_any_two_custodians_open_what_three_hold(handed: tuple[Persons, ShareSet]) -> None:
    persons, share_set = handed
    for absent in (*NAMES, None):
        persons.absent = set() if absent is None else {absent}
        assert collect(persons, share_set, lambda *_: None) == SECRET


def test_one_custodian_is_not_enough(handed: tuple[Persons, ShareSet]) -> None:
    persons, share_set = handed
    persons.absent = {NAMES[0], NAMES[2]}
    with pytest.raises(CeremonyStopped, match="1 more shares"):
        collect(persons, share_set, lambda *_: None)


def test_a_mistyped_group_is_located_and_asked_again(handed: tuple[Persons, ShareSet]) -> None:
    persons, share_set = handed
    groups = paper(persons, NAMES[0]).split("-")
    groups[4] = groups[4][:-1] + ("0" if groups[4][-1] != "0" else "1")
    persons.typed = {NAMES[0]: ["-".join(groups), paper(persons, NAMES[0])]}
    told: list[tuple[str, str]] = []
    assert collect(persons, share_set, lambda *said: told.append(said)) == SECRET
    assert any("share-malformed" in line and "group 5 is mistyped" in line for line in persons.said)
    assert told == [("share-taken", NAMES[0]), ("share-taken", NAMES[1])]


def test_a_wrong_share_is_named_and_another_custodian_takes_the_place(handed: tuple[Persons, ShareSet]) -> None:
    persons, share_set = handed
    _other_set, others = split_secret(
        bytes(32), threshold=2, custodians=NAMES, about="x", created=START, random_octets=lambda n: b"\x09" * n
    )
    persons.typed = {NAMES[0]: [others[0].text()] * 3}
    told: list[tuple[str, str]] = []
    assert collect(persons, share_set, lambda *said: told.append(said)) == SECRET
    named = [line for line in persons.said if "share-wrong" in line]
    assert len(named) == 3
    assert "share 1 is of another ceremony" in named[0]
    assert "این سهم از این راز نیست" in named[0]
    assert told == [("share-refused", NAMES[0]), ("share-taken", NAMES[1]), ("share-taken", NAMES[2])]


def test_nobody_gives_the_share_of_another(handed: tuple[Persons, ShareSet]) -> None:
    persons, share_set = handed
    persons.typed = {NAMES[0]: [paper(persons, NAMES[1])] * 3}
    collect(persons, share_set, lambda *_: None)
    assert any("share 2 is not the one that Custodian One was given" in line for line in persons.said)


def test_a_share_that_was_not_written_down_stops_the_ceremony(empty: Rehearsal) -> None:
    empty.persons.typed = {"Custodian Two back": ["nothing"] * 3}
    with pytest.raises(CeremonyStopped, match="Custodian Two did not confirm") as caught:
        empty.example("pilot-root")
    assert caught.value.code is ErrorCode.CEREMONY_STOPPED
    assert not empty.home.place("root").record_file.exists()
    before = empty.persons.papers["Custodian One", TOKEN]
    empty.example("pilot-root")  # the token is made again, and with it every share
    assert empty.workshop.made["root"] == 2
    assert empty.persons.papers["Custodian One", TOKEN] != before


def test_the_whole_share_may_be_typed_back(empty: Rehearsal) -> None:
    script = example("real-parent")

    class Careful(Persons):
        def ask_secret(self, question: str) -> str:
            if question.startswith("Type the share"):
                return paper_of(self)
            return super().ask_secret(question)

    def paper_of(persons: Persons) -> str:
        return persons.papers[persons._at_screen].lower().replace("-", " ")

    empty.persons = Careful()
    with pytest.raises(CeremonyStopped, match="not there yet"):
        empty.hold(script)
    assert len(empty.persons.shown) == 3


def test_a_witness_who_reads_something_else_stops_the_ceremony(empty: Rehearsal) -> None:
    empty.persons.refuses = {"Witness One"}
    with pytest.raises(CeremonyStopped, match="did not confirm the fingerprint of the script"):
        empty.example("pilot-root")
    assert empty.transcript("pilot-root").read_bytes() == b""


def test_a_ceremony_that_nobody_begins_leaves_no_step(empty: Rehearsal) -> None:
    empty.persons.refuses = {"Begin"}
    with pytest.raises(CeremonyStopped, match="not begun"):
        empty.example("pilot-root")
    assert not empty.workshop.tokens


def test_a_stop_is_in_the_transcript(pilot: Rehearsal) -> None:
    pilot.persons.absent = {"Custodian One", "Custodian Two"}
    with pytest.raises(CeremonyStopped):
        pilot.example("root-crl")
    last = json.loads(pilot.transcript("root-crl-2026").read_bytes().splitlines()[-1])
    assert (last["act"], last["step"], last["facts"]) == ("stopped", 2, {"code": "ceremony-stopped"})
    pilot.persons.absent = set()
    pilot.example("root-crl")


def test_a_wrong_pin_is_refused_as_such(pilot: Rehearsal) -> None:
    place = pilot.home.place("root")
    place.record_file.unlink()  # as `mohr init` leaves its root: no record, one PIN
    pilot.persons.pin = "00000000"
    with pytest.raises(PinIncorrect):
        pilot.example("root-crl")
    pilot.persons.pin = pilot.workshop.tokens["root"][0]
    pilot.example("root-crl")


def test_a_fingerprint_is_spelled_in_words_that_voices_keep_apart() -> None:
    assert spoken("4f3a") == "FOUR FOXTROT THREE ALFA"
    assert spoken("9b0e") == "NINER BRAVO ZERO ECHO"
    assert len(groups_of(bytes(32))) == 16
    persons = Persons()
    read_aloud(persons, "a thing", bytes(range(32)), "Witness")
    assert "   1  0001  ZERO ZERO ZERO ONE" in persons.said
