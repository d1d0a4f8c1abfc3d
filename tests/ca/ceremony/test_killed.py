"""Killed anywhere and begun again, a ceremony ends as if it had not been killed."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from ca import certificate_queries
from ca.ceremony.script import Script, parse_script
from ca.ceremony.transcript import verify_transcript
from ca.status.crl import read_crl, split_entries
from ca.status.revocation import CertificateState
from ca.tables import certificates, crls
from pki.certificates import Certificate
from storage.ledger_tables import audit_events
from tests.ca.ceremony.conftest import Copier
from tests.ca.ceremony.rehearsal import EXAMPLES, Fuse, Killed, Rehearsal, example

FAR = 100_000
ROOT_STEPS = (EXAMPLES / "root-crl.toml").read_text().partition("[[step]]")[2]
# A second site's key, then a revocation and the root's list, in one ceremony.
BOTH = parse_script(
    ((EXAMPLES / "second-site.toml").read_text() + "[[step]]" + ROOT_STEPS.partition("[[step]]")[2]).encode()
)


def held(rehearsal: Rehearsal, script: Script, kills: Sequence[int]) -> int:
    """Hold a ceremony that is killed after so many points, again and again; return how often it was."""
    killed = 0
    for point in (*kills, None):
        rehearsal.fuse.left = point
        with contextlib.suppress(Killed):
            rehearsal.hold(script)
            break
        killed += 1
        rehearsal.clock.move(seconds=90)
    rehearsal.fuse.left = None
    return killed


def check_end(rehearsal: Rehearsal, script: Script) -> None:
    """What holds at the end of every ceremony, whatever happened on the way."""
    data = rehearsal.transcript(script.name).read_bytes()
    found = verify_transcript(data, Certificate.parse(rehearsal.home.published["root.cer"]))
    done = [entry.step for entry in found.entries if entry.act.value == "step-done"]
    assert done == list(range(1, len(script.steps) + 1))
    for secret in (*rehearsal.workshop.pins, *rehearsal.persons.shown):
        assert secret.encode() not in data
        assert secret.replace("-", "").encode() not in data
    with rehearsal.home.database.read() as connection:
        held_events = select(func.count()).where(audit_events.c.action == "ceremony.held")
        assert connection.execute(held_events.where(audit_events.c.subject == script.name)).scalar_one() == 1
        generated = list(
            connection.execute(select(audit_events.c.subject).where(audit_events.c.action == "key.generated")).scalars()
        )
        assert len(generated) == len(set(generated))
        states = list(connection.execute(select(certificates.c.state)).scalars())
        assert CertificateState.INTENDED.value not in states
        newest = connection.execute(select(func.max(crls.c.number)).where(crls.c.issuer == "root")).scalar_one()
        signed = connection.execute(
            select(crls.c.number).where(crls.c.issuer == "root", crls.c.der.is_not(None))
        ).scalars()
        assert read_crl(rehearsal.home.published["root/0.crl"]).number == max(signed) <= newest


def lists_signed(rehearsal: Rehearsal) -> int:
    """Count how often the root signed a list."""
    columns = audit_events.c
    told = select(func.count()).where(columns.action == "crl.published", columns.subject == "root/0")
    with rehearsal.home.database.read() as connection:
        return connection.execute(told).scalar_one()


def check_pilot(rehearsal: Rehearsal) -> None:
    assert lists_signed(rehearsal) == 1
    assert rehearsal.home.service is not None
    for keys in (rehearsal.home.service, rehearsal.workshop.tokens["root"][1]):
        assert set(keys.generated.values()) == {1}
    with rehearsal.home.database.read() as connection:
        assert len(certificate_queries.named(connection)) == 9
        good = connection.execute(select(func.count()).where(certificates.c.state == "good")).scalar_one()
    assert good == 9
    # The shares that open the root are those that the custodians wrote down last.
    rehearsal.clock.move(hours=1)
    rehearsal.example("root-crl")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kills=st.lists(st.integers(0, 160), max_size=5))
def test_a_pilot_root_survives_any_kills_property(kills: list[int], killable: Fuse) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rehearsal = Rehearsal(Path(folder), fuse=killable)
        try:
            script = example("pilot-root")
            held(rehearsal, script, kills)
            check_end(rehearsal, script)
            check_pilot(rehearsal)
        finally:
            rehearsal.close()


def check_both(rehearsal: Rehearsal) -> None:
    assert lists_signed(rehearsal) == 2
    assert set(rehearsal.workshop.tokens["site-2"][1].generated.values()) == {1}
    with rehearsal.home.database.read() as connection:
        rows = connection.execute(
            select(certificates.c.holder, certificates.c.state).where(certificates.c.issuer == "root")
        ).all()
    living = sorted(tuple(row) for row in rows if row.state != CertificateState.ABANDONED.value)
    assert living == [
        ("Mohr Pilot Persons CA, site 2", "good"),
        ("institutions", "revoked"),
        ("persons", "good"),
        ("root", "good"),
        ("systems", "good"),
    ]
    assert len(split_entries(read_crl(rehearsal.home.published["root/0.crl"]).entries)) == 1


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kills=st.lists(st.integers(0, 70), max_size=6))
def test_a_second_site_and_a_revocation_survive_any_kills_property(
    kills: list[int], killable: Fuse, copy_of_founded: Copier
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rehearsal = copy_of_founded(Path(folder), killable)
        try:
            held(rehearsal, BOTH, kills)
            check_end(rehearsal, BOTH)
            check_both(rehearsal)
        finally:
            rehearsal.close()


TOKEN_ONLY = parse_script(
    "[[step]]".join((EXAMPLES / "second-site.toml").read_text().split("[[step]]")[:3])
    .replace('"second-site"', '"token-only"')
    .encode()
)


def test_every_single_kill_around_a_token_and_its_key_is_survived(
    killable: Fuse, copy_of_founded: Copier, tmp_path: Path
) -> None:
    for point in range(FAR):
        rehearsal = copy_of_founded(tmp_path / str(point), killable)
        try:
            killed = held(rehearsal, TOKEN_ONLY, [point])
            check_end(rehearsal, TOKEN_ONLY)
            assert set(rehearsal.workshop.tokens["site-2"][1].generated.values()) == {1}
        finally:
            rehearsal.close()
        if not killed:
            break
    assert point > 30


@pytest.mark.stress
def test_every_single_kill_of_a_pilot_root_is_survived(killable: Fuse, tmp_path: Path) -> None:
    script = example("pilot-root")
    for point in range(FAR):
        rehearsal = Rehearsal(tmp_path / str(point), fuse=killable)
        rehearsal.path.mkdir()
        try:
            killed = held(rehearsal, script, [point])
            check_end(rehearsal, script)
        finally:
            rehearsal.close()
        if not killed:
            break
    assert point > 100


def test_there_are_points_to_be_killed_at(killable: Fuse, copy_of_founded: Copier, tmp_path: Path) -> None:
    rehearsal = copy_of_founded(tmp_path, killable)
    assert held(rehearsal, BOTH, [0, 5, 30]) == 3
    assert killable.burnt > 70
    rehearsal.close()
