from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import IntegrityError

from pki.errors import Conflict, ErrorCode, InvalidInput, NotFound, Unavailable, VerificationFailed
from pki.merkle import EMPTY_ROOT, root_of, verify_consistency
from pki.notes import open_checkpoint
from storage.engine import Database, open_database
from storage.ledger import Ledger
from storage.ledger_proof import verify_proof
from storage.ledger_tables import audit_events, checkpoints, ledger_leaves
from tests.storage.attacker import Attacker
from tests.storage.story import KEY, LOG, NOW, ORIGIN, PUBLIC, SealKey, build_history, record
from tests.support.databases import DatabaseMaker


def places_in(database: Database) -> list[str]:
    with database.read() as connection:
        query = select(audit_events.c.id).where(audit_events.c.seq.is_not(None)).order_by(audit_events.c.seq)
        return list(connection.execute(query).scalars())


def test_waiting_events_get_their_places_in_batches_in_the_order_they_were_recorded(database: Database) -> None:
    ids = record(database, 0, 5) + record(database, 5, 6)
    ledger = Ledger(database)
    assert [ledger.sequence(limit=4) for _ in range(4)] == [4, 4, 3, 0]
    assert places_in(database) == ids


def test_the_kept_tree_is_the_tree_of_the_leaves(database: Database) -> None:
    note = build_history(database, 3, 4, 12)[-1]
    with database.read() as connection:
        leaves = connection.execute(select(ledger_leaves.c.leaf_hash).order_by(ledger_leaves.c.seq)).scalars().all()
    checkpoint = open_checkpoint(note, LOG)
    assert (checkpoint.size, checkpoint.root) == (12, root_of(bytes(leaf) for leaf in leaves))


def test_an_untouched_ledger_is_intact(database: Database) -> None:
    notes = build_history(database, 1, 2, 9, pending=2)
    for external in (None, *notes):
        report = Ledger(database).verify(PUBLIC, ORIGIN, external)
        assert report.intact
        assert (report.size, report.pending, report.checkpoints) == (9, 2, 3)
    assert report.root == open_checkpoint(notes[-1], LOG).root


def test_an_empty_ledger_has_a_checkpoint_and_is_intact(database: Database) -> None:
    ledger = Ledger(database)
    assert ledger.latest_checkpoint() is None
    assert ledger.verify(PUBLIC, ORIGIN, None).intact
    note = ledger.checkpoint(KEY, ORIGIN, NOW)
    assert open_checkpoint(note, LOG).root == EMPTY_ROOT
    assert ledger.verify(PUBLIC, ORIGIN, note).intact
    record(database, 0, 1)
    ledger.sequence()
    assert open_checkpoint(ledger.checkpoint(KEY, ORIGIN, NOW), LOG).size == 1


def test_a_checkpoint_is_made_once_for_each_size(database: Database) -> None:
    first = build_history(database, 3)[0]
    ledger = Ledger(database)
    assert ledger.checkpoint(KEY, ORIGIN, NOW + timedelta(hours=1)) == first
    record(database, 3, 1)
    assert ledger.checkpoint(KEY, ORIGIN, NOW) == first  # a waiting event is not in the ledger yet
    ledger.sequence()
    second = ledger.checkpoint(KEY, ORIGIN, NOW)
    assert open_checkpoint(second, LOG).size == 4
    assert ledger.latest_checkpoint() == second


def test_every_event_is_proven_under_the_last_checkpoint(database: Database) -> None:
    build_history(database, 2, 11)
    ledger = Ledger(database)
    for seq, event_id in enumerate(places_in(database)):
        proof = ledger.inclusion_proof(event_id)
        assert proof.seq == seq
        assert event_id.encode() in proof.event
        assert verify_proof(proof, PUBLIC, ORIGIN).size == 11


def test_an_event_that_no_checkpoint_covers_has_no_proof_yet(database: Database) -> None:
    build_history(database, 2)
    waiting = record(database, 2, 1)[0]
    ledger = Ledger(database)
    with pytest.raises(Conflict):
        ledger.inclusion_proof(waiting)
    ledger.sequence()
    with pytest.raises(Conflict):
        ledger.inclusion_proof(waiting)
    ledger.checkpoint(KEY, ORIGIN, NOW)
    verify_proof(ledger.inclusion_proof(waiting), PUBLIC, ORIGIN)
    with pytest.raises(NotFound):
        ledger.inclusion_proof("no such event")


def test_each_checkpoint_is_proven_to_continue_each_earlier_one(database: Database) -> None:
    opened = [open_checkpoint(note, LOG) for note in build_history(database, 1, 4, 6, 13)]
    ledger = Ledger(database)
    for new in opened:
        for old in opened:
            if old.size <= new.size:
                proof = ledger.consistency_proof(old.size, new.size)
                verify_consistency(old.size, old.root, new.size, new.root, proof)
    with pytest.raises(NotFound):
        ledger.consistency_proof(1, 14)
    with pytest.raises(InvalidInput):
        ledger.consistency_proof(6, 4)


# --- Crashes and competitors ----------------------------------------------------------------------


def test_a_crash_between_sequencing_and_checkpoint_loses_nothing(database: Database) -> None:
    class Silent(SealKey):
        def sign(self, message: bytes) -> bytes:
            raise Unavailable(ErrorCode.HSM_UNAVAILABLE, "no answer")

    note = build_history(database, 2)[0]
    record(database, 2, 3)
    ledger = Ledger(database)
    ledger.sequence()
    with pytest.raises(Unavailable):
        ledger.checkpoint(Silent(), ORIGIN, NOW)
    assert ledger.latest_checkpoint() == note
    again = Ledger(database)
    assert open_checkpoint(again.checkpoint(KEY, ORIGIN, NOW), LOG).size == 5
    assert again.verify(PUBLIC, ORIGIN, note).intact


def test_others_write_while_the_key_signs(database: Database) -> None:
    class Slow(SealKey):
        def sign(self, message: bytes) -> bytes:
            record(database, 50, 1)
            Ledger(database).sequence()
            return super().sign(message)

    build_history(database, 2)
    record(database, 2, 1)
    ledger = Ledger(database)
    ledger.sequence()
    assert open_checkpoint(ledger.checkpoint(Slow(), ORIGIN, NOW), LOG).size == 3
    assert open_checkpoint(ledger.checkpoint(KEY, ORIGIN, NOW), LOG).size == 4
    assert ledger.verify(PUBLIC, ORIGIN, None).intact


def test_a_slower_worker_takes_the_checkpoint_of_the_faster_one(database: Database) -> None:
    class Overtaken(SealKey):
        def sign(self, message: bytes) -> bytes:
            record(database, 50, 1)
            Ledger(database).sequence()
            Ledger(database).checkpoint(KEY, ORIGIN, NOW)
            return super().sign(message)

    build_history(database, 2)
    record(database, 2, 1)
    ledger = Ledger(database)
    ledger.sequence()
    assert open_checkpoint(ledger.checkpoint(Overtaken(), ORIGIN, NOW), LOG).size == 4
    assert ledger.verify(PUBLIC, ORIGIN, None).checkpoints == 2


def test_workers_that_sign_the_same_size_at_once_agree_on_one_checkpoint(database: Database) -> None:
    together = threading.Barrier(3, timeout=10)

    class Together(SealKey):
        def sign(self, message: bytes) -> bytes:
            together.wait()
            return super().sign(message)

    record(database, 0, 3)
    Ledger(database).sequence()
    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(Ledger(database).checkpoint, Together(), ORIGIN, NOW) for _ in range(3)]
        assert len({job.result() for job in jobs}) == 1
    assert Ledger(database).verify(PUBLIC, ORIGIN, None).checkpoints == 1


def test_two_sequencers_and_two_writers_at_once_make_one_ledger(database: Database) -> None:
    def write(first: int) -> None:
        for number in range(first, first + 15):
            record(database, number, 1)

    def sequence() -> int:
        return sum(Ledger(database).sequence(limit=3) for _ in range(15))

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, first) for first in (0, 100)]
        sequencers = [pool.submit(sequence) for _ in range(2)]
        for writer in writers:
            writer.result()
        placed = sum(job.result() for job in sequencers)
    placed += Ledger(database).sequence()
    note = Ledger(database).checkpoint(KEY, ORIGIN, NOW)
    report = Ledger(database).verify(PUBLIC, ORIGIN, note)
    assert report.intact
    assert placed == report.size == 30


_WORKER = """
import sys
from storage.engine import open_database
from storage.ledger import Ledger
from tests.storage.story import KEY, NOW, ORIGIN, record
database = open_database(sys.argv[1])
ledger = Ledger(database)
for number in range(100_000):
    record(database, number, 3)
    ledger.sequence(limit=2)
    print(ledger.checkpoint(KEY, ORIGIN, NOW).split("\\n")[1], flush=True)
"""


def test_a_worker_killed_at_any_moment_leaves_an_intact_ledger(sqlite_maker: DatabaseMaker) -> None:
    database = sqlite_maker()
    url = database.engine.url.render_as_string()
    for lines in (1, 7, 12):
        root = Path(__file__).parents[2]
        with subprocess.Popen([sys.executable, "-c", _WORKER, url], stdout=subprocess.PIPE, cwd=root) as worker:
            assert worker.stdout is not None
            for _ in range(lines):
                reached = int(worker.stdout.readline())
            time.sleep(0.003)
            os.kill(worker.pid, signal.SIGKILL)
        report = Ledger(database).verify(PUBLIC, ORIGIN, None)
        assert report.intact
        assert report.size >= reached
    ledger = Ledger(database)
    while ledger.sequence():
        pass
    assert ledger.verify(PUBLIC, ORIGIN, ledger.checkpoint(KEY, ORIGIN, NOW)).pending == 0


def test_ten_thousand_events_are_recorded_and_sequenced_in_two_seconds(sqlite_maker: DatabaseMaker) -> None:
    database = sqlite_maker()
    start = time.process_time()
    record(database, 0, 10_000)
    assert sum(iter(Ledger(database).sequence, 0)) == 10_000
    assert time.process_time() - start < 2


# --- Refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_leaves SET leaf_hash = leaf_hash",
        "DELETE FROM ledger_leaves",
        "UPDATE ledger_nodes SET hash = hash",
        "DELETE FROM ledger_nodes",
        "UPDATE checkpoints SET note = 'x'",
        "DELETE FROM checkpoints",
        "DELETE FROM audit_events",
        "DELETE FROM audit_events WHERE seq IS NULL",
        "UPDATE audit_events SET actor = 'x'",
        "UPDATE audit_events SET seq = NULL WHERE seq = 1",
        "UPDATE audit_events SET seq = 99 WHERE seq = 1",
        "UPDATE audit_events SET seq = 99, actor = 'x' WHERE seq IS NULL",
        "UPDATE audit_events SET actor = 'x' WHERE seq IS NULL",
    ],
)
def test_the_database_itself_refuses_to_change_written_rows(statement: str, database: Database) -> None:
    build_history(database, 4, pending=1)
    with pytest.raises(IntegrityError), database.begin() as unit:
        unit.connection.execute(text(statement))
    assert Ledger(database).verify(PUBLIC, ORIGIN, None).intact


def test_replacing_a_row_is_refused_like_deleting_it(sqlite_maker: DatabaseMaker) -> None:
    database = sqlite_maker()
    build_history(database, 2)
    with pytest.raises(IntegrityError), database.begin() as unit:
        unit.connection.execute(text("INSERT OR REPLACE INTO ledger_leaves VALUES (0, 'x', x'00')"))


@pytest.mark.real
def test_emptying_a_whole_table_is_refused(postgres_maker: DatabaseMaker) -> None:
    database = postgres_maker()
    build_history(database, 2)
    for table in ("audit_events", "ledger_leaves", "ledger_nodes", "checkpoints"):
        with pytest.raises(IntegrityError), database.begin() as unit:
            unit.connection.execute(text(f"TRUNCATE {table}"))


def refused_checkpoint(database: Database, key: SealKey = KEY, origin: str = ORIGIN) -> ErrorCode:
    class Unasked(SealKey):
        def public_key(self):  # type: ignore[no-untyped-def]  # same as the key it stands for
            return key.public_key()

        def sign(self, message: bytes) -> bytes:
            raise AssertionError("a signature was asked for")

    with pytest.raises(VerificationFailed) as caught:
        Ledger(database).checkpoint(Unasked(), origin, NOW)
    return caught.value.code


def test_nothing_is_signed_over_a_ledger_that_shrank(database: Database) -> None:
    build_history(database, 3, 8)
    with Attacker.on(database) as attacker:
        attacker.truncate(7, checkpoints_too=False)
    assert refused_checkpoint(database) is ErrorCode.LEDGER_TRUNCATED


def test_nothing_is_signed_over_a_ledger_that_was_rebuilt(database: Database) -> None:
    build_history(database, 8)
    record(database, 8, 2)
    Ledger(database).sequence()
    with Attacker.on(database) as attacker:
        attacker.execute(update(audit_events).where(audit_events.c.seq == 3).values(actor="nobody"))
        attacker.rebuild()
    assert refused_checkpoint(database) is ErrorCode.LEDGER_FORKED


def test_nothing_is_signed_after_a_checkpoint_of_another_key_or_with_another_root(database: Database) -> None:
    build_history(database, 4)
    assert refused_checkpoint(database, key=SealKey(b"\1" * 32)) is ErrorCode.CHECKPOINT_INVALID
    assert refused_checkpoint(database, origin="ledger.example/other") is ErrorCode.CHECKPOINT_INVALID
    with Attacker.on(database) as attacker:
        attacker.execute(update(checkpoints).values(root=bytes(32)))
    assert refused_checkpoint(database) is ErrorCode.CHECKPOINT_INVALID


def test_nothing_is_added_to_a_tree_whose_edge_is_gone(database: Database) -> None:
    build_history(database, 4, pending=1)
    with Attacker.on(database) as attacker:
        attacker.execute(text("DELETE FROM ledger_nodes WHERE level = 2"))
    with pytest.raises(VerificationFailed) as caught:
        Ledger(database).sequence()
    assert caught.value.code is ErrorCode.LEDGER_REMOVED
    assert len(places_in(database)) == 4


@pytest.mark.parametrize("name", ["id", "at", "actor", "facts", "salt"])
def test_a_damaged_waiting_event_gets_no_leaf(name: str, sqlite_maker: DatabaseMaker) -> None:
    """SQLite keeps whatever it is given; the sequencer says which event it was and stops."""
    database = sqlite_maker()
    build_history(database, 2, pending=1)
    with Attacker.on(database) as attacker:
        broken = text("CAST(x'ff' AS TEXT)")
        attacker.execute(update(audit_events).where(audit_events.c.seq.is_(None)).values({name: broken}))
    with pytest.raises(VerificationFailed) as caught:
        Ledger(database).sequence()
    assert caught.value.code is ErrorCode.LEDGER_EDITED
    assert Ledger(database).verify(PUBLIC, ORIGIN, None).pending == 1


def test_a_waiting_event_with_octets_for_an_id_gets_no_leaf(sqlite_maker: DatabaseMaker) -> None:
    database = sqlite_maker()
    record(database, 0, 1)
    with Attacker.on(database) as attacker:
        attacker.execute(text("UPDATE audit_events SET id = CAST(id AS BLOB)"))
    with pytest.raises(VerificationFailed):
        Ledger(database).sequence()


def test_a_damaged_event_has_no_proof(database: Database) -> None:
    build_history(database, 2)
    event_id = places_in(database)[1]
    with Attacker.on(database) as attacker:
        attacker.execute(update(audit_events).where(audit_events.c.seq == 1).values(salt=b"short"))
    with pytest.raises(VerificationFailed) as caught:
        Ledger(database).inclusion_proof(event_id)
    assert caught.value.code is ErrorCode.LEDGER_EDITED


def test_an_edited_event_gets_a_proof_that_does_not_hold(database: Database) -> None:
    build_history(database, 5)
    with Attacker.on(database) as attacker:
        attacker.execute(update(audit_events).where(audit_events.c.seq == 1).values(actor="nobody"))
    with pytest.raises(VerificationFailed):
        verify_proof(Ledger(database).inclusion_proof(places_in(database)[1]), PUBLIC, ORIGIN)


def test_a_ledger_of_another_program_has_no_tables_and_says_so(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'new.db'}")
    with pytest.raises(Unavailable, match="lacks this program's tables"):
        Ledger(database).sequence()
    database.close()
