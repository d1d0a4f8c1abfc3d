"""The histories can fail: each of these faults, put into the product, is found by some history of the first few.

Mutants of what the gate refuses come with the gate switched off: with it on, such a list is not published at all,
which is found too (`the entry of what is on hold is lost`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from ca import repository
from ca.issuing import endings
from ca.status import (
    answer_keeper,
    answer_store,
    changes,
    deltas,
    list_drafts,
    list_rows,
    ocsp,
    revocation,
    revocation_desk,
)
from ca.status.revocation import RevocationReason, Status
from tests.ca.status.histories_plan import plan
from tests.ca.status.histories_world import Ceremony, Ground
from tests.ca.status.test_histories import FAST, LENGTH, fault_of

HISTORIES = 40
Mutate = Callable[[pytest.MonkeyPatch], None]


def _gate_off(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(list_drafts.Drafter, "_told", lambda self, compared, last: compared.differing)


def _lost(patch: pytest.MonkeyPatch) -> None:
    """Entries of what is on hold are left out of the rows that lists are made of."""
    encode = revocation.encode_crl_entry
    patch.setattr(
        "ca.status.revocation_desk.encode_crl_entry",
        lambda serial, status: None if status.reason is RevocationReason.CERTIFICATE_HOLD else encode(serial, status),
    )


def _lost_past_the_gate(patch: pytest.MonkeyPatch) -> None:
    _lost(patch)
    _gate_off(patch)


def _ended_early(patch: pytest.MonkeyPatch) -> None:
    """Entries go as soon as their certificates end."""
    _gate_off(patch)
    patch.setattr(list_drafts.Drafter, "_kept_from", lambda self: self._now)


def _same_number(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(list_rows, "next_crl_number", lambda connection, issuer, shard: 1)


def _backdated(patch: pytest.MonkeyPatch) -> None:
    """Each list is dated by the minute of its number, not by the clock."""
    plan_of = list_drafts.Drafter._plan
    patch.setattr(list_drafts, "check_follows", lambda *_: None)

    def planned(self: Any) -> Any:
        made = plan_of(self)
        return replace(made, this_update=made.this_update - timedelta(hours=made.number))

    patch.setattr(list_drafts.Drafter, "_plan", planned)


def _not_withdrawn(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(answer_store.AnswerStore, "withdraw", lambda self, changes, place=None: None)


def _past_its_end(patch: pytest.MonkeyPatch) -> None:
    """Rows are read with a later end, and their checksums hold all the same."""
    later, checksum = 10_000_000_000, answer_store._checksum
    patch.setattr(answer_store, "_FIND", answer_store._FIND.replace("next_update", f"next_update + {later}"))

    def of_what_was_written(serial: Any, delegate: Any, this_update: Any, next_update: Any, *rest: Any) -> Any:
        return checksum(serial, delegate, this_update, next_update - (later if next_update > later else 0), *rest)

    patch.setattr(answer_store, "_checksum", of_what_was_written)


def _not_followed(patch: pytest.MonkeyPatch) -> None:
    """Nobody reads the feed: what a process that died withdrew from nothing stays."""
    patch.setattr(answer_keeper, "read_changes", lambda *_: ())


def _outdated_unseen(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(changes, "has_list_changed", lambda *_: False)


def _no_removal(patch: pytest.MonkeyPatch) -> None:
    """Deltas do not say that a hold was lifted."""
    patch.setattr(deltas, "encode_removal", lambda serial, at: b"")


def _siblings_live(patch: pytest.MonkeyPatch) -> None:
    for module in (endings, revocation_desk):
        patch.setattr(module, "end_key", lambda *_, **__: ())


def _date_of_hold_forgotten(patch: pytest.MonkeyPatch) -> None:
    revoke = revocation.revoke
    for module in (revocation_desk, endings):
        patch.setattr(
            module, "revoke", lambda status, at, reason, **more: revoke(Status(state=status.state), at, reason, **more)
        )


def _without_reason(patch: pytest.MonkeyPatch) -> None:
    encode = revocation.encode_crl_entry
    for module in (revocation_desk, endings):
        patch.setattr(module, "encode_crl_entry", lambda serial, status: encode(serial, replace(status, reason=None)))


def _without_invalidity_date(patch: pytest.MonkeyPatch) -> None:
    encode = revocation.encode_crl_entry
    for module in (revocation_desk, endings):
        patch.setattr(
            module, "encode_crl_entry", lambda serial, status: encode(serial, replace(status, invalidity_date=None))
        )


def _hold_stays_listed(patch: pytest.MonkeyPatch) -> None:
    change = repository.change_status

    def changed(connection: Any, record: Any, status: Status, at: Any, **more: Any) -> Any:
        if more["crl_entry"] is None:
            more["crl_entry"] = revocation.encode_crl_entry(record.serial, record.status)
        return change(connection, record, status, at, **more)

    patch.setattr(repository, "change_status", changed)


def _never_done(patch: pytest.MonkeyPatch) -> None:
    """The ledger tells of changes that no row knows."""
    patch.setattr(
        repository,
        "change_status",
        lambda connection, record, status, at, **_: replace(record, status=status),
    )


def _not_on_record(patch: pytest.MonkeyPatch) -> None:
    """Changes are made, and the ledger tells of none."""
    patch.setattr("storage.unit_of_work.AuditBuffer.record", lambda self, event: None)


def _unknown_is_good(patch: pytest.MonkeyPatch) -> None:
    told = ocsp._cert_status
    patch.setattr(ocsp, "_cert_status", lambda status: told(status) if status else b"\x80\x00")


def _hold_is_good(patch: pytest.MonkeyPatch) -> None:
    told = ocsp._cert_status
    held = RevocationReason.CERTIFICATE_HOLD
    patch.setattr(ocsp, "_cert_status", lambda s: b"\x80\x00" if s and s.reason is held else told(s))


def _wrong_shard(patch: pytest.MonkeyPatch) -> None:
    runs = list_rows.entry_runs
    patch.setattr(
        list_rows,
        "entry_runs",
        lambda connection, issuer, shard, **more: runs(connection, issuer, 1 - shard, **more),
    )


MUTANTS: dict[str, Mutate] = {
    "the entry of what is on hold is lost": _lost,
    "the same, and the gate is off": _lost_past_the_gate,
    "entries end with their certificates": _ended_early,
    "numbers do not rise": _same_number,
    "thisUpdate goes back": _backdated,
    "stored answers are not withdrawn": _not_withdrawn,
    "a stored answer is served after its end": _past_its_end,
    "nobody follows the feed": _not_followed,
    "nobody sees that a list is outdated": _outdated_unseen,
    "deltas forget lifted holds": _no_removal,
    "certificates outlive their compromised key": _siblings_live,
    "the date of the hold is forgotten": _date_of_hold_forgotten,
    "entries say no reason": _without_reason,
    "entries say no invalidity date": _without_invalidity_date,
    "a lifted hold stays listed": _hold_stays_listed,
    "rows do not know what was done": _never_done,
    "the ledger does not know what was done": _not_on_record,
    "what was never issued is good": _unknown_is_good,
    "what is on hold is good": _hold_is_good,
    "entries are in another list": _wrong_shard,
}


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with TemporaryDirectory(dir=FAST) as folder:
        made = Ground.in_files(Ceremony.hold(), Path(folder))
        yield made
        made.close()


@pytest.mark.stress
@pytest.mark.parametrize("name", MUTANTS)
def test_a_fault_in_the_product_is_found(name: str, ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    MUTANTS[name](monkeypatch)
    assert any(fault_of(ground, seed, plan(seed, LENGTH)) for seed in range(HISTORIES))
