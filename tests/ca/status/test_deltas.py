"""Delta lists: a base and its delta say what the full list of the same number says (RFC 5280 §5.2.4)."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import pytest
from cryptography import x509
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, update

from ca.errors import CrlRegression
from ca.service import CertificateAuthority
from ca.status import crl_desk, list_rows
from ca.status.crl import PublishedCrl, read_crl
from ca.status.revocation import RevocationReason, encode_crl_entry
from ca.tables import certificates, crl_deltas, crl_pages, crls, status_changes
from pki.certificates import pem
from pki.errors import ServiceError
from tests.ca import linters
from tests.ca.world import CLERK, SETTINGS, World

SUPERSEDED = RevocationReason.SUPERSEDED


def told(data: bytes) -> dict[int, str]:
    """What a list says of each certificate."""
    found = {}
    for entry in x509.load_der_x509_crl(data):
        reasons = [one.value.reason.value for one in entry.extensions if isinstance(one.value, x509.CRLReason)]
        found[entry.serial_number] = reasons[0] if reasons else "unspecified"
    return found


def combined(base: bytes, delta: bytes) -> dict[int, str]:
    """What a relying party makes of a list and a later delta to it or to one before it."""
    found = told(base)
    for serial, reason in told(delta).items():
        found.pop(serial, None)
        if reason != "removeFromCRL":
            found[serial] = reason
    return found


def with_settings(world: World, **changes: object) -> CertificateAuthority:
    return CertificateAuthority(world.database, world.keys, replace(SETTINGS, **changes), world.clock)  # type: ignore[arg-type]  # their kinds


def delta_of(crl: PublishedCrl) -> PublishedCrl:
    assert crl.delta is not None
    return crl.delta


def test_the_first_list_has_no_delta_and_the_next_is_its_base(world: World) -> None:
    first = world.authority.publish_crl("persons", 0)
    assert first.delta is None
    second = world.authority.publish_crl("persons", 0)
    delta = delta_of(second)
    assert (second.number, delta.number, delta.base) == (2, 2, 1)
    assert (delta.this_update, delta.next_update) == (second.this_update, second.next_update)
    read = x509.load_der_x509_crl(delta.der)
    indicator = read.extensions.get_extension_for_class(x509.DeltaCRLIndicator)
    assert (indicator.critical, indicator.value.crl_number) == (True, 1)
    full = x509.load_der_x509_crl(second.der)
    points = [one.extensions.get_extension_for_class(x509.IssuingDistributionPoint) for one in (read, full)]
    assert points[0] == points[1]
    (freshest,) = full.extensions.get_extension_for_class(x509.FreshestCRL).value
    assert freshest.full_name == [x509.UniformResourceIdentifier(SETTINGS.delta_url("persons", 0))]
    assert world.authority.latest_delta("persons", 0) == delta


def test_a_lifted_hold_is_removed_by_the_delta_and_never_by_a_list(world: World) -> None:
    issued = world.issue("hix-tls")
    shard, serial = world.authority.get(issued.serial_hex).shard, int(issued.serial_hex, 16)
    world.authority.publish_crl("institutions", shard)
    world.authority.hold(issued.serial_hex, CLERK)
    held = world.authority.publish_crl("institutions", shard)
    assert told(delta_of(held).der) == told(held.der) == {serial: "certificateHold"}
    world.clock.move(seconds=1)
    world.authority.unhold(issued.serial_hex, CLERK)
    lifted = world.authority.publish_crl("institutions", shard)
    assert told(delta_of(lifted).der) == {serial: "removeFromCRL"}
    assert told(lifted.der) == {}
    world.authority.revoke(issued.serial_hex, SUPERSEDED, CLERK)
    revoked = world.authority.publish_crl("institutions", shard)
    assert told(delta_of(revoked).der) == told(revoked.der) == {serial: "superseded"}


def test_a_base_is_kept_for_a_day_and_then_the_latest_list_is_the_base(world: World) -> None:
    world.authority.publish_crl("persons", 0)
    bases = []
    for _ in range(4):
        world.clock.move(hours=8)
        bases.append(delta_of(world.authority.publish_crl("persons", 0)).base)
    assert bases == [1, 1, 3, 3]


def test_a_delta_too_large_is_the_last_to_its_base(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ca.status.deltas.MOST_ENTRIES", 0)
    world.authority.publish_all_crls()
    issued = world.issue("hix-tls")
    shard = world.authority.get(issued.serial_hex).shard
    world.authority.revoke(issued.serial_hex, SUPERSEDED, CLERK)
    found = [delta_of(world.authority.publish_crl("institutions", shard)) for _ in range(2)]
    assert [(one.base, one.entries) for one in found] == [(1, 1), (2, 0)]


def test_a_change_that_the_feed_has_lost_is_in_the_delta_all_the_same(world: World) -> None:
    issued = world.issue("hix-tls")
    shard = world.authority.get(issued.serial_hex).shard
    world.authority.publish_crl("institutions", shard)
    world.authority.revoke(issued.serial_hex, SUPERSEDED, CLERK)
    with world.database.begin() as unit:
        unit.connection.execute(delete(status_changes))
    first = world.authority.publish_crl("institutions", shard)
    again = world.authority.publish_crl("institutions", shard)
    assert told(delta_of(first).der) == told(delta_of(again).der) == told(again.der)


def test_a_delta_that_would_lose_an_entry_is_not_published(world: World) -> None:
    issued = world.issue("hix-tls")
    shard = world.authority.get(issued.serial_hex).shard
    world.authority.publish_crl("institutions", shard)
    world.authority.revoke(issued.serial_hex, SUPERSEDED, CLERK)
    world.authority.publish_crl("institutions", shard)
    of_it = certificates.c.serial == issued.serial_hex
    with world.database.begin() as unit:
        unit.connection.execute(update(certificates).where(of_it).values(crl_entry=None, released_at=None))
    with pytest.raises(CrlRegression, match=issued.serial_hex):
        world.authority.publish_delta("institutions", shard)


def listed_before_its_base(world: World) -> tuple[str, int]:
    """Revoke a certificate, and forget it in the feed and in every delta: the list alone has it."""
    serial = world.issue("hix-tls").serial_hex
    shard = world.authority.get(serial).shard
    world.authority.revoke(serial, SUPERSEDED, CLERK)
    for _ in range(2):
        world.authority.publish_crl("institutions", shard)
    with world.database.begin() as unit:
        unit.connection.execute(delete(status_changes))
        unit.connection.execute(delete(crl_deltas))
    assert told(world.authority.publish_delta("institutions", shard).der) == {}
    return serial, shard


@pytest.mark.parametrize("values", [{"crl_entry": None}, {"shard": 7}], ids=["no-entry", "another-shard"])
def test_a_delta_alone_misses_an_entry_that_the_list_alone_has(world: World, values: dict[str, int | None]) -> None:
    serial, shard = listed_before_its_base(world)
    with world.database.begin() as unit:
        unit.connection.execute(update(certificates).where(certificates.c.serial == serial).values(**values))
    with pytest.raises(CrlRegression, match=serial):
        world.authority.publish_delta("institutions", shard)


def test_a_delta_alone_tells_an_entry_that_is_another_one_without_an_event(world: World) -> None:
    serial, shard = listed_before_its_base(world)
    status = replace(world.authority.get(serial).status, reason=RevocationReason.KEY_COMPROMISE)
    with world.database.begin() as unit:
        of_it = certificates.c.serial == serial
        unit.connection.execute(
            update(certificates).where(of_it).values(crl_entry=encode_crl_entry(int(serial, 16), status))
        )
    delta = world.authority.publish_delta("institutions", shard)
    assert told(delta.der) == {int(serial, 16): "keyCompromise"}


@pytest.mark.parametrize("wrong", ["revoked", "listed", "earlier"])
def test_a_delta_alone_removes_nothing_but_a_hold_that_was_lifted_after_it_began(world: World, wrong: str) -> None:
    issued = world.issue("hix-tls")
    shard = world.authority.get(issued.serial_hex).shard
    world.authority.publish_crl("institutions", shard)
    world.authority.hold(issued.serial_hex, CLERK)
    if wrong == "revoked":
        world.authority.revoke(issued.serial_hex, SUPERSEDED, CLERK)
    world.authority.publish_delta("institutions", shard)
    held = world.clock.now()
    values = {"crl_entry": None, "revoked_at": None, "released_at": held + timedelta(seconds=1)}
    changes = {"revoked": {}, "listed": {"revoked_at": held}, "earlier": {"released_at": held - timedelta(hours=1)}}
    of_it = certificates.c.serial == issued.serial_hex
    with world.database.begin() as unit:
        unit.connection.execute(update(certificates).where(of_it).values(values | changes[wrong]))
    with pytest.raises(CrlRegression, match=issued.serial_hex):
        world.authority.publish_delta("institutions", shard)


def test_a_delta_alone_goes_on_removing_a_hold_that_was_lifted(world: World) -> None:
    issued = world.issue("hix-tls")
    shard, serial = world.authority.get(issued.serial_hex).shard, int(issued.serial_hex, 16)
    world.authority.hold(issued.serial_hex, CLERK)
    for _ in range(2):
        world.authority.publish_crl("institutions", shard)
    world.authority.unhold(issued.serial_hex, CLERK)
    for _ in range(2):
        delta = world.authority.publish_delta("institutions", shard)
        assert told(delta.der) == {serial: "removeFromCRL"}


def test_by_policy_changes_are_told_by_deltas_while_the_list_is_young(world: World) -> None:
    authority = with_settings(world, crl_interval=timedelta(hours=6))
    issued = world.issue("hix-tls")
    shard = world.authority.get(issued.serial_hex).shard
    both = [authority.publish_change("institutions", shard) for _ in range(2)]
    assert [crl.base for crl in both] == [None, None]  # the first does not say that there are deltas
    world.authority.revoke(issued.serial_hex, SUPERSEDED, CLERK)
    full = authority.latest_crl("institutions", shard)
    assert full is not None
    assert authority.is_outdated(full)
    delta = authority.publish_change("institutions", shard)
    assert (delta.number, delta.base, delta.delta) == (3, 1, None)
    latest = authority.latest_crl("institutions", shard)
    assert latest is not None
    assert (latest.number, delta_of(latest)) == (2, delta)
    assert not authority.is_outdated(latest)
    assert not authority.is_list_due("institutions", shard)
    assert combined(latest.der, delta.der) == {int(issued.serial_hex, 16): "superseded"}
    world.clock.move(hours=6)
    assert authority.publish_change("institutions", shard).base is None
    assert authority.last_number("institutions", shard) == 4


def test_a_young_list_that_has_no_place_in_the_feed_is_followed_by_a_whole_one(world: World) -> None:
    authority = with_settings(world, crl_interval=timedelta(hours=6))
    for _ in range(2):
        authority.publish_change("persons", 1)
    with world.database.begin() as unit:  # as a register that was put back is told of its last list
        unit.connection.execute(update(crls).values(position=None))
        unit.connection.execute(delete(crl_deltas))
    assert authority.publish_change("persons", 1).base is None


def test_a_list_can_do_without_deltas(world: World) -> None:
    authority = with_settings(world, crl_deltas=False)
    lists = [authority.publish_change("persons", 1) for _ in range(2)]
    assert [crl.delta for crl in lists] == [None, None]
    assert read_crl(lists[1].der).freshest_url is None
    with pytest.raises(CrlRegression, match="no list that a delta"):
        authority.publish_delta("persons", 1)


def test_a_list_that_a_restored_database_was_told_of_is_followed(world: World) -> None:
    """Such a list lies in its row whole, beside pages of an older one, and has no place in the feed."""
    issued = world.issue("hix-tls")
    shard = world.authority.get(issued.serial_hex).shard
    world.authority.publish_crl("institutions", shard)
    world.authority.revoke(issued.serial_hex, SUPERSEDED, CLERK)
    outlived = world.authority.publish_crl("institutions", shard)
    mine = (crls.c.issuer == "institutions", crls.c.shard == shard)
    with world.database.begin() as unit:
        row = unit.connection.execute(select(crls).where(*mine, crls.c.number == 2)).one()._asdict()
        unit.connection.execute(update(crls).where(*mine).values(der=None))
        unit.connection.execute(update(crl_deltas).values(der=None))
        unit.connection.execute(update(crl_pages).values(content=b"another", sha256=b"\0" * 32))
        kept = {**row, "id": None, "number": 900, "der": outlived.der, "paged": False, "position": None}
        unit.connection.execute(insert(crls).values({name: kept[name] for name in kept if name != "id"}))
    latest = world.authority.latest_crl("institutions", shard)
    assert latest is not None
    assert (latest.der, world.authority.is_outdated(latest)) == (outlived.der, True)
    following = [world.authority.publish_crl("institutions", shard) for _ in range(2)]
    assert [told(crl.der) for crl in following] == [told(outlived.der)] * 2
    assert (following[0].delta, delta_of(following[1]).base) == (None, 901)


def test_a_stored_list_that_was_altered_is_not_served(world: World) -> None:
    issued = world.issue("hix-tls")
    shard = world.authority.get(issued.serial_hex).shard
    world.authority.revoke(issued.serial_hex, SUPERSEDED, CLERK)
    world.authority.publish_crl("institutions", shard)
    with world.database.begin() as unit:
        unit.connection.execute(update(crl_pages).values(content=b""))
    with pytest.raises(CrlRegression, match="not the one that was signed"):
        world.authority.latest_crl("institutions", shard)


class Ended(BaseException):
    """The program ends here."""


@pytest.mark.parametrize("step", ["reserve_crl", "sign_structures", "store_crl", "store_delta", "_crl_event"])
def test_a_program_that_ends_in_the_middle_leaves_the_last_list_and_its_number_is_not_used_again(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    issued = world.issue("hix-tls")
    shard = world.authority.get(issued.serial_hex).shard
    before = [world.authority.publish_crl("institutions", shard) for _ in range(2)][1]
    world.authority.revoke(issued.serial_hex, SUPERSEDED, CLERK)

    def end(*_arguments: object, **_more: object) -> NoReturn:
        raise Ended

    with monkeypatch.context() as patch:
        patch.setattr(list_rows if hasattr(list_rows, step) else crl_desk, step, end)
        with pytest.raises(Ended):
            world.authority.publish_crl("institutions", shard)
    latest = world.authority.latest_crl("institutions", shard)
    assert latest == before
    assert world.authority.is_outdated(before)
    following = world.authority.publish_crl("institutions", shard)
    assert following.number == (3 if step == "reserve_crl" else 4)
    assert told(following.der) == told(delta_of(following).der) == {int(issued.serial_hex, 16): "superseded"}


def test_deltas_are_clean_and_openssl_reads_them(world: World, tmp_path: Path) -> None:
    world.authority.publish_all_crls()
    issued = [world.issue("hix-tls") for _ in range(2)]
    world.authority.hold(issued[0].serial_hex, CLERK)
    world.authority.publish_all_crls()
    world.authority.unhold(issued[0].serial_hex, CLERK)
    world.authority.revoke(issued[1].serial_hex, SUPERSEDED, CLERK)
    lists = [crl for crl in world.authority.publish_all_crls() if crl.issuer == "institutions"]
    assert sum(delta_of(crl).entries for crl in lists) == 2
    (tmp_path / "ca.pem").write_text(pem(world.hierarchy.certificate("institutions")))
    for crl in lists:
        assert linters.lint_crl(crl.der) == linters.lint_crl(delta_of(crl).der) == []
        (tmp_path / "delta.crl").write_bytes(delta_of(crl).der)
        command = ["openssl", "crl", "-inform", "DER", "-in", "delta.crl", "-CAfile", "ca.pem", "-noout", "-text"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert "verify OK" in done.stdout + done.stderr
        assert "X509v3 Delta CRL Indicator: critical" in done.stdout


ACTS = ("hold", "unhold", "revoke", "publish", "delta", "day")


class Reader:
    """A relying party that keeps every list it ever had of the places that it follows."""

    def __init__(self, world: World, serials: list[str]) -> None:
        self.world, self.mine = world, {int(serial, 16): serial for serial in serials}
        self.lists: dict[int, list[PublishedCrl]] = {}
        self.shards = {world.authority.get(serial).shard for serial in serials}

    def truth(self, shard: int) -> dict[int, str]:
        records = {serial: self.world.authority.get(name) for serial, name in self.mine.items()}
        return {
            serial: str(record.status.reason)
            for serial, record in records.items()
            if record.shard == shard and record.status.listed
        }

    def publish(self, make: Callable[[str, int], PublishedCrl]) -> None:
        for shard in self.shards:
            crl = make("institutions", shard)
            delta = crl if crl.base is not None else crl.delta
            if crl.base is None:
                self.lists.setdefault(shard, []).append(crl)
                assert self.of_mine(told(crl.der)) == self.truth(shard)
            for kept in self.lists[shard] if delta is not None else ():
                if delta is not None and delta.base is not None and delta.base <= kept.number < delta.number:
                    assert self.of_mine(combined(kept.der, delta.der)) == self.truth(shard)

    def of_mine(self, found: dict[int, str]) -> dict[int, str]:
        return {serial: reason for serial, reason in found.items() if serial in self.mine}


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 1)), min_size=4, max_size=14))
def test_each_list_with_each_later_delta_to_it_says_what_is_so(world: World, acts: list[tuple[str, int]]) -> None:
    authority = world.authority
    serials = [world.issue("hix-tls").serial_hex for _ in range(2)]
    reader = Reader(world, serials)
    for _ in range(2):
        reader.publish(authority.publish_crl)
    for act, which in acts:
        world.clock.move(hours=25 if act == "day" else 0, seconds=1)
        if act in ("publish", "delta"):
            reader.publish(authority.publish_crl if act == "publish" else authority.publish_delta)
            continue
        with suppress(ServiceError):  # what the state does not allow
            if act == "revoke":
                authority.revoke(serials[which], SUPERSEDED, CLERK)
            elif act != "day":
                getattr(authority, act)(serials[which], CLERK)
    reader.publish(authority.publish_delta)
    reader.publish(authority.publish_crl)
