from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import delete, event, select, update

from ca.errors import CrlRegression
from ca.issuing.orders import Issued
from ca.profiles import ISSUING_AUTHORITIES
from ca.service import CertificateAuthority
from ca.status import list_rows
from ca.status.crl import PublishedCrl
from ca.status.revocation import CertificateState, RevocationReason
from ca.tables import certificates, crls
from hsm.errors import HsmUnavailable
from pki.certificates import Certificate
from pki.errors import ErrorCode, NotFound, ServiceError, Unavailable
from storage.engine import Database
from tests.ca.test_issuing_faults import DyingKeys
from tests.ca.world import CLERK, FILE_PROFILES, SETTINGS, START, World, new_csr


def serials(crl: PublishedCrl | None) -> set[int]:
    assert crl is not None
    return {entry.serial_number for entry in x509.load_der_x509_crl(crl.der)}


def shard_of(world: World, issued: Issued) -> int:
    return world.authority.get(issued.serial_hex).shard


def test_every_shard_of_every_authority_is_published_and_signed_by_it(world: World) -> None:
    published = world.authority.publish_all_crls()
    assert len(published) == len(ISSUING_AUTHORITIES) * SETTINGS.crl_shards
    for crl in published:
        read = x509.load_der_x509_crl(crl.der)
        assert read.is_signature_valid(world.issuer(crl.issuer).public_key())  # type: ignore[arg-type]  # an EC key
        point = read.extensions.get_extension_for_class(x509.IssuingDistributionPoint)
        assert point.critical
        assert point.value.full_name == [x509.UniformResourceIdentifier(SETTINGS.crl_url(crl.issuer, crl.shard))]


def test_a_certificate_keeps_its_list_whatever_the_policy_says_later(world: World) -> None:
    issued = world.issue("hix-tls")
    record = world.authority.get(issued.serial_hex)
    world.authority.publish_all_crls()
    world.authority.revoke(issued.serial_hex, RevocationReason.SUPERSEDED, CLERK)
    for shards in (1, 7):
        settings = replace(SETTINGS, crl_shards=shards)
        later = CertificateAuthority(world.database, world.keys, settings, world.clock)
        assert later.shards_of("institutions") == range(max(shards, SETTINGS.crl_shards))
        assert len(later.publish_all_crls()) == len(ISSUING_AUTHORITIES) * max(shards, SETTINGS.crl_shards)
        listed = later.latest_crl("institutions", record.shard)
        assert listed is not None
        assert x509.load_der_x509_crl(listed.der).get_revoked_certificate_by_serial_number(record.serial) is not None
        assert later.get(issued.serial_hex).shard == record.shard


def test_numbers_rise_by_one_and_the_latest_is_served(world: World) -> None:
    numbers = [world.authority.publish_crl("persons", 0).number for _ in range(3)]
    assert numbers == [1, 2, 3]
    latest = world.authority.latest_crl("persons", 0)
    assert latest is not None
    assert latest.number == 3


def test_the_roots_first_list_is_there_from_the_ceremony(world: World) -> None:
    crl = world.authority.latest_crl("root", 0)
    assert crl is not None
    assert x509.load_der_x509_crl(crl.der).is_signature_valid(world.issuer("root").public_key())  # type: ignore[arg-type]  # an EC key
    assert crl.next_update - crl.this_update > timedelta(days=365)


def test_a_revoked_certificate_is_in_its_own_shard_alone(world: World) -> None:
    issued = world.issue()
    record = world.authority.revoke(issued.serial_hex, RevocationReason.SUPERSEDED, CLERK)
    found = {crl.shard: serials(crl) for crl in world.authority.publish_all_crls() if crl.issuer == "persons"}
    assert found == {shard: {record.serial} if shard == record.shard else set() for shard in range(4)}


def test_a_list_that_fails_holds_no_other_back(world: World) -> None:
    issued = world.issue()
    world.authority.revoke(issued.serial_hex, RevocationReason.SUPERSEDED, CLERK)
    world.authority.publish_all_crls()
    with world.database.begin() as unit:
        unit.connection.execute(update(certificates).values(crl_entry=None))
    with pytest.raises(CrlRegression):
        world.authority.publish_all_crls()
    latest = world.authority.latest_crl("systems", 3)
    assert latest is not None
    assert latest.number == 2


def test_the_roots_list_is_not_made_here(world: World) -> None:
    with pytest.raises(NotFound):
        world.authority.publish_crl("root", 0)


@pytest.mark.parametrize(("issuer", "shard"), [("persons", 4), ("persons", -1), ("nobody", 0), ("persons", 1 << 70)])
def test_an_unknown_list_is_not_found(world: World, issuer: str, shard: int) -> None:
    with pytest.raises(NotFound):
        world.authority.publish_crl(issuer, shard)
    assert world.authority.latest_crl(issuer, shard) is None


def test_a_list_that_would_lose_an_entry_is_not_published(world: World) -> None:
    issued = world.issue()
    shard = shard_of(world, issued)
    world.authority.revoke(issued.serial_hex, RevocationReason.KEY_COMPROMISE, CLERK)
    before = world.authority.publish_crl("persons", shard)
    with world.database.begin() as unit:  # what a restored backup or a wrong hand does
        unit.connection.execute(
            update(certificates).where(certificates.c.serial == issued.serial_hex).values(crl_entry=None)
        )
    with pytest.raises(CrlRegression) as caught:
        world.authority.publish_crl("persons", shard)
    assert caught.value.code is ErrorCode.CRL_REGRESSION
    assert world.authority.latest_crl("persons", shard) == before


def test_a_hold_whose_row_was_reset_by_hand_is_not_excused(world: World) -> None:
    issued = world.issue()
    shard = shard_of(world, issued)
    world.clock.move(seconds=1)  # after its activation, which lifted what it was told as before
    world.authority.hold(issued.serial_hex, CLERK)
    world.authority.publish_crl("persons", shard)
    with world.database.begin() as unit:
        unit.connection.execute(
            update(certificates)
            .where(certificates.c.serial == issued.serial_hex)
            .values(crl_entry=None, revoked_at=None, reason=None, state=CertificateState.GOOD.value)
        )
    with pytest.raises(CrlRegression):
        world.authority.publish_crl("persons", shard)


def test_a_certificate_missing_from_the_register_is_not_excused(world: World) -> None:
    issued = world.issue_waiting()
    shard = shard_of(world, issued)
    world.authority.revoke(issued.serial_hex, RevocationReason.SUPERSEDED, CLERK)
    world.authority.publish_crl("persons", shard)
    with world.database.begin() as unit:
        unit.connection.execute(delete(certificates).where(certificates.c.serial == issued.serial_hex))
    with pytest.raises(CrlRegression):
        world.authority.publish_crl("persons", shard)


def test_a_lifted_hold_leaves_the_list_for_good(world: World) -> None:
    issued = world.issue()
    shard = shard_of(world, issued)
    world.authority.hold(issued.serial_hex, CLERK)
    assert serials(world.authority.publish_crl("persons", shard)) == {int(issued.serial_hex, 16)}
    world.authority.unhold(issued.serial_hex, CLERK)
    assert serials(world.authority.publish_crl("persons", shard)) == set()


def test_a_clock_that_went_back_publishes_nothing(world: World) -> None:
    world.authority.publish_crl("persons", 0)
    world.clock.move(hours=-1)
    with pytest.raises(CrlRegression, match="older"):
        world.authority.publish_crl("persons", 0)


def test_a_list_of_a_clock_that_was_wrong_is_followed_by_an_earlier_one(world: World) -> None:
    wrong = world.authority.publish_crl("persons", 0)
    world.clock.move(hours=-1)
    told = CertificateAuthority(world.database, world.keys, SETTINGS, world.clock, forgiven=lambda: wrong.this_update)
    right = told.publish_crl("persons", 0)
    assert (right.number, right.this_update < wrong.this_update) == (wrong.number + 1, True)
    world.clock.move(hours=-1)
    early = CertificateAuthority(
        world.database, world.keys, SETTINGS, world.clock, forgiven=lambda: right.this_update - timedelta(seconds=1)
    )
    with pytest.raises(CrlRegression, match="older"):
        early.publish_crl("persons", 0)


def test_an_expired_certificate_stays_until_a_list_after_its_end_has_named_it(world: World) -> None:
    issued = world.issue("hix-tls")  # software keys: 90 days
    shard = shard_of(world, issued)
    world.authority.revoke(issued.serial_hex, RevocationReason.SUPERSEDED, CLERK)
    world.clock.move(days=91)
    assert serials(world.authority.publish_crl("institutions", shard)) == {int(issued.serial_hex, 16)}
    world.clock.move(days=7)
    assert serials(world.authority.publish_crl("institutions", shard)) == set()


def test_an_entry_is_not_dropped_when_no_list_was_issued_after_its_certificates_end(world: World) -> None:
    issued = world.issue("hix-tls")
    shard = shard_of(world, issued)
    world.authority.revoke(issued.serial_hex, RevocationReason.SUPERSEDED, CLERK)
    world.authority.publish_crl("institutions", shard)
    world.clock.move(days=120)  # nobody published for a month
    assert serials(world.authority.publish_crl("institutions", shard)) == {int(issued.serial_hex, 16)}
    assert serials(world.authority.publish_crl("institutions", shard)) == set()


def test_a_device_that_does_not_answer_leaves_the_last_list_and_uses_no_number_twice(world: World) -> None:
    before = world.authority.publish_crl("persons", 0)
    dying = CertificateAuthority(
        world.database,
        DyingKeys(HsmUnavailable("gone")),  # type: ignore[arg-type]  # has what is used
        SETTINGS,
        world.clock,
    )
    with pytest.raises(Unavailable):
        dying.publish_crl("persons", 0)
    assert world.authority.latest_crl("persons", 0) == before
    assert world.authority.publish_crl("persons", 0).number == before.number + 2


def test_a_list_overtaken_by_another_program_is_not_published(world: World) -> None:
    authority = world.authority

    class Overtaken:
        """Signs, but another program publishes while it does."""

        def signing_key(self, label: str) -> object:
            authority.publish_crl("persons", 0)
            return world.keys.signing_key(label)

    slow = CertificateAuthority(world.database, Overtaken(), SETTINGS, world.clock)  # type: ignore[arg-type]  # has what is used
    with pytest.raises(CrlRegression, match="meanwhile"):
        slow.publish_crl("persons", 0)
    latest = authority.latest_crl("persons", 0)
    assert latest is not None
    assert latest.number == 2


def test_reading_entries_leaves_the_transaction_as_it_was(world: World) -> None:
    with world.database.read() as connection:
        before = dict(connection.get_execution_options())
        list(list_rows.entry_runs(connection, "persons", 0, ended_from=START))
        assert dict(connection.get_execution_options()) == before


def test_the_last_list_of_an_authority_lasts_until_its_end_and_is_not_made_over_and_over(world: World) -> None:
    end = Certificate.parse(world.hierarchy.certificate("persons")).not_after
    world.clock.move(seconds=(end - world.clock.now() - timedelta(hours=60)).total_seconds())
    world.authority.publish_crl("persons", 0)
    assert not world.authority.is_list_due("persons", 0)
    world.clock.move(hours=36)
    assert world.authority.is_list_due("persons", 0)
    assert world.authority.publish_crl("persons", 0).next_update == end
    for _ in range(2):
        assert not world.authority.is_list_due("persons", 0)
        assert not world.authority.has_ended("persons")
        world.clock.move(hours=12)
    assert world.authority.has_ended("persons")


def test_only_the_last_list_is_kept(world: World) -> None:
    for _ in range(5):
        world.authority.publish_crl("persons", 0)
    with world.database.read() as connection:
        kept = connection.execute(
            select(crls.c.number).where(crls.c.issuer == "persons", crls.c.shard == 0, crls.c.der.is_not(None))
        ).scalars()
        assert list(kept) == [5]


def test_dropping_older_lists_looks_at_those_that_are_kept_alone(
    sqlite_database: Database, make_world: Callable[[Database], World]
) -> None:
    world = make_world(sqlite_database)
    seen: list[str] = []

    def keep(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        seen.append(statement)

    event.listen(sqlite_database.engine, "before_cursor_execute", keep)
    for _ in range(2):
        world.authority.publish_crl("persons", 0)
    event.remove(sqlite_database.engine, "before_cursor_execute", keep)
    dropping = {statement for statement in seen if statement.startswith("UPDATE") and "number < ?" in statement}
    assert len(dropping) == 2  # of lists, and of deltas
    with sqlite_database.read() as connection:
        for statement in dropping:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", (None, "persons", 0, 9)).all()
            assert "_kept" in plan[0][3], plan


class Histories(RuleBasedStateMachine):
    """Random histories of issue, hold, release, revoke, time and publishing: no answer contradicts the history."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.issued: list[Issued] = []
        self.truth: dict[int, bool] = {}
        self.number = 0

    @initialize()
    def start(self) -> None:
        self.file = self.world.approved(FILE_PROFILES["hix-tls"])

    @rule()
    def issue(self) -> None:
        certificate = self.world.authority.issue("hix-tls", self.file.id, new_csr(), "clerk")
        self.issued.append(certificate)
        self.truth[int(certificate.serial_hex, 16)] = False

    @rule(pick=st.integers(0, 99), act=st.sampled_from(["hold", "unhold", "revoke"]))
    def change(self, pick: int, act: str) -> None:
        if not self.issued:
            return
        chosen = self.issued[pick % len(self.issued)]
        try:
            if act == "revoke":
                self.world.authority.revoke(chosen.serial_hex, RevocationReason.SUPERSEDED, CLERK)
            else:
                getattr(self.world.authority, act)(chosen.serial_hex, CLERK)
        except ServiceError:
            return
        self.truth[int(chosen.serial_hex, 16)] = act != "unhold"

    @rule(minutes=st.integers(1, 600))
    def wait(self, minutes: int) -> None:
        self.world.clock.move(minutes=minutes)

    @rule()
    def publish(self) -> None:
        lists = [self.world.authority.publish_crl("institutions", shard) for shard in range(SETTINGS.crl_shards)]
        assert lists[0].number > self.number
        self.number = lists[0].number
        found = set().union(*(serials(crl) for crl in lists))
        assert found & self.truth.keys() == {serial for serial, bad in self.truth.items() if bad}

    @invariant()
    def ocsp_tells_the_truth(self) -> None:
        for certificate in self.issued[-3:]:
            bad = self.world.ask(certificate).certificate_status.name == "REVOKED"
            assert bad == self.truth[int(certificate.serial_hex, 16)]


def test_no_published_answer_contradicts_the_history(world: World) -> None:
    machine = type("MachineOnThisWorld", (Histories,), {"world": world})
    run_state_machine_as_test(machine, settings=settings(max_examples=6, stateful_step_count=15, deadline=None))


def test_a_published_list_is_dated_when_it_is_made(world: World) -> None:
    world.clock.move(minutes=3)
    crl = world.authority.publish_crl("systems", 1)
    assert (crl.this_update, crl.next_update) == (
        START + timedelta(minutes=3),
        START + timedelta(minutes=3) + SETTINGS.crl_validity,
    )
