"""`mohr audit verify` against someone who owns the database file and lacks only the seal key."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, update

from ca.custody_policy import WORKER
from hsm.client import CustodianClient
from storage.engine import open_database
from storage.key_uses import KeyUses
from storage.ledger_tables import audit_events, checkpoints
from tests.storage.attacker import Attacker
from tests.support.deployment import LiveDeployment
from tests.support.programs import run_here
from webapp.cli import mohr
from webapp.compose import RealClock
from webapp.custody import sockets_for
from webapp.key_journal import JournalTaker

pytestmark = pytest.mark.real
PLACE = 5  # the entry that is tampered with


@pytest.fixture(scope="module")
def kept(live: LiveDeployment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint kept where nobody of the deployment can write."""
    note = tmp_path_factory.mktemp("auditor") / "kept.note"
    _take_key_uses(live)
    live.answerless("audit", "checkpoint", "-o", note)
    return note


def _take_key_uses(live: LiveDeployment) -> None:
    """Move the running custodian's journal into the ledger, as the worker does."""
    database = open_database(live.deployment.database_url(live.deployment.settings()))
    with closing(CustodianClient(sockets_for(live.deployment, WORKER)[:1])) as custodian:
        JournalTaker(KeyUses(database), custodian, RealClock()).sweep()
    database.close()


@pytest.fixture
def home(live: LiveDeployment, kept: Path, tmp_path: Path) -> Path:
    """The deployment as it was when the checkpoint was taken, or later, to be tampered with."""
    return live.copy_readable(tmp_path / "home")


def _verify(home: Path, *more: str | Path) -> tuple[int, dict[str, Any]]:
    ended = run_here(mohr, "audit", "verify", "--home", str(home), "--json", *map(str, more))
    assert ended.trace == ""
    report: dict[str, Any] = json.loads(ended.output)
    return ended.status, report


def _codes(report: dict[str, Any]) -> set[str]:
    return {finding["code"] for finding in report["findings"]}


def _change(home: Path, *statements: str) -> None:
    """Change rows with SQLite's own library, the guards dropped first."""
    with closing(sqlite3.connect(home / "data" / "mohr.db")) as database, database:
        triggers = database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for (name,) in triggers:
            database.execute(f"DROP TRIGGER {name}")
        assert triggers
        for statement in statements:
            assert database.execute(statement).rowcount > 0, statement


def test_an_honest_ledger_is_consistent_with_and_without_the_checkpoint(home: Path, kept: Path) -> None:
    for more in ((), ("--checkpoint", kept)):
        status, report = _verify(home, *more)
        assert (status, report["state"], report["findings"]) == (0, "consistent", [])
        assert report["size"] > PLACE


def test_a_checkpoint_of_yesterday_still_holds_over_a_ledger_that_grew(
    live: LiveDeployment, kept: Path, tmp_path: Path
) -> None:
    size = _verify(live.deployment.home)[1]["size"]
    live.answer("ca", "crl", "--shard", "0")
    live.answerless("audit", "checkpoint", "-o", tmp_path / "newer.note")
    status, report = _verify(live.deployment.home, "--checkpoint", kept)
    assert (status, report["findings"]) == (0, [])
    assert report["size"] > size


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_events SET actor = 'somebody else' WHERE seq = 5",
        "UPDATE audit_events SET subject = subject || ' ' WHERE seq = 5",
        "UPDATE audit_events SET facts = '{}' WHERE seq = 5",
        "UPDATE audit_events SET at = datetime(at, '+1 second') WHERE seq = 5",
        "UPDATE audit_events SET action = 'certificate.revoked' WHERE seq = 5",
        "UPDATE audit_events SET salt = zeroblob(16) WHERE seq = 5",
    ],
)
def test_an_edited_event_is_named_by_its_place(home: Path, kept: Path, statement: str) -> None:
    _change(home, statement)
    for more in ((), ("--checkpoint", kept)):
        status, report = _verify(home, *more)
        assert (status, report["state"], _codes(report)) == (1, "broken", {"ledger-edited"})
        assert [finding["seq"] for finding in report["findings"]] == [PLACE]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE key_uses SET line = replace(line, '\"count\":1', '\"count\":2') WHERE sequence = 5",
        "UPDATE key_uses SET line_hash = zeroblob(32) WHERE sequence = 5",
        "DELETE FROM key_uses WHERE sequence = 5",
        "DELETE FROM key_uses WHERE sequence > 5",
        "DELETE FROM key_uses",
        "DELETE FROM key_use_segments",
        "UPDATE key_use_totals SET uses = uses + 1 WHERE key = 'ca-persons'",
    ],
)
def test_tampering_with_the_uses_of_keys_is_found(home: Path, statement: str) -> None:
    _change(home, statement)
    status, report = _verify(home)
    assert (status, report["state"], _codes(report)) == (1, "broken", {"hsm-journal-gap"})


def test_uses_of_keys_that_vanish_with_their_event_are_missed_by_the_checkpoint(home: Path, kept: Path) -> None:
    _change(
        home,
        "DELETE FROM audit_events WHERE action = 'key.used'",
        "DELETE FROM key_uses",
        "DELETE FROM key_use_segments",
        "DELETE FROM key_use_totals",
    )
    status, report = _verify(home, "--checkpoint", kept)
    assert (status, _codes(report)) == (1, {"ledger-removed"})


def test_people_are_told_the_code_too(home: Path) -> None:
    _change(home, "UPDATE audit_events SET actor = 'x' WHERE seq = 5")
    ended = run_here(mohr, "audit", "verify", "--home", str(home))
    assert ended.status == 1
    assert f"ledger-edited {PLACE}" in ended.messages


def test_a_removed_event_is_missed(home: Path) -> None:
    _change(home, "DELETE FROM audit_events WHERE seq = 5")
    status, report = _verify(home)
    assert (status, _codes(report)) == (1, {"ledger-removed"})


def test_a_removed_event_with_all_its_traces_is_missed(home: Path, kept: Path) -> None:
    database = open_database(f"sqlite:///{home / 'data' / 'mohr.db'}")
    with Attacker.on(database) as attacker:
        attacker.execute(delete(audit_events).where(audit_events.c.seq == PLACE))
        attacker.shift(PLACE + 1, -1)
        attacker.rebuild()
    database.close()
    assert _verify(home)[0] == 1
    status, report = _verify(home, "--checkpoint", kept)
    assert status == 1
    assert _codes(report) & {"ledger-truncated", "ledger-forked"}


def test_a_cut_tail_shows_against_the_checkpoint_kept_outside(home: Path, kept: Path) -> None:
    database = open_database(f"sqlite:///{home / 'data' / 'mohr.db'}")
    with Attacker.on(database) as attacker:
        attacker.truncate(PLACE)
    database.close()
    status, report = _verify(home, "--checkpoint", kept)
    assert (status, "ledger-truncated" in _codes(report)) == (1, True)


def test_a_ledger_built_anew_throughout_shows_against_the_checkpoint_kept_outside(home: Path, kept: Path) -> None:
    database = open_database(f"sqlite:///{home / 'data' / 'mohr.db'}")
    with Attacker.on(database) as attacker:
        attacker.execute(update(audit_events).where(audit_events.c.seq == PLACE).values(actor="x"))
        attacker.execute(delete(checkpoints))
        attacker.rebuild()
    database.close()
    assert _verify(home)[0] == 0  # nobody can tell from inside
    status, report = _verify(home, "--checkpoint", kept)
    assert status == 1
    assert "ledger-forked" in _codes(report)


def test_two_swapped_events_show(home: Path) -> None:
    _change(
        home,
        "UPDATE audit_events SET seq = -1 WHERE seq = 5",
        "UPDATE audit_events SET seq = 5 WHERE seq = 6",
        "UPDATE audit_events SET seq = 6 WHERE seq = -1",
    )
    status, report = _verify(home)
    assert (status, _codes(report)) == (1, {"ledger-edited"})


@pytest.mark.parametrize("part", ["origin", "size", "root", "signature"])
def test_a_checkpoint_that_was_changed_proves_nothing(home: Path, kept: Path, tmp_path: Path, part: str) -> None:
    lines = kept.read_text(encoding="utf-8").split("\n")
    line = {"origin": 0, "size": 1, "root": 2, "signature": 4}[part]
    old = lines[line]
    lines[line] = f"{int(old) + 1}" if part == "size" else old[:-3] + ("A" if old[-3] != "A" else "B") + old[-2:]
    (tmp_path / "changed.note").write_text("\n".join(lines), encoding="utf-8")
    status, report = _verify(home, "--checkpoint", tmp_path / "changed.note")
    assert (status, _codes(report)) == (1, {"checkpoint-invalid"})


def test_an_export_is_checked_without_the_database(home: Path, kept: Path, tmp_path: Path) -> None:
    export = tmp_path / "export"
    assert run_here(mohr, "audit", "export", str(export), "--home", str(home)).status == 0
    (home / "data" / "mohr.db").unlink()
    assert _verify(home, "--export", export, "--checkpoint", kept)[0] == 0
    entries = max((path for path in export.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    entries.write_bytes(entries.read_bytes().replace(b"mohr init", b"somebody!", 1))
    status, report = _verify(home, "--export", export, "--checkpoint", kept)
    assert (status, report["state"]) == (1, "broken")
