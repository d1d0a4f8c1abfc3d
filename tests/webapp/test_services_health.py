"""The health page tells of a service whose certificate is a day within its window and not renewed."""

from __future__ import annotations

from datetime import timedelta

from ca.hierarchy import SERVICE_SEAL, TSA
from ca.status.revocation import RevocationReason
from storage.engine import Database
from tests.ca.conftest import WorldMaker, ceremony, make_world, sqlite_database  # noqa: F401 - fixtures
from tests.ca.world import CLERK
from webapp.checks import services_part
from webapp.health import PartState
from webapp.promises import RENEWAL_PATIENCE, PromiseKind, promises_part, responder_promise


def test_a_service_that_was_not_renewed_is_told_with_its_end(
    sqlite_database: Database,  # noqa: F811 - a fixture
    make_world: WorldMaker,  # noqa: F811 - a fixture
) -> None:
    own = [one for one in make_world(sqlite_database).authority.own_certificates() if one.name in (TSA, SERVICE_SEAL)]
    unit = next(one for one in own if one.name == TSA)
    late = unit.renews_from + RENEWAL_PATIENCE
    assert services_part(own, late - timedelta(seconds=1)).state is PartState.OK
    told = services_part(own, late)
    assert (told.state, told.since, told.vital) == (PartState.DEGRADED, unit.renews_from, False)
    assert told.note == f"tsa until {unit.usable_until:%Y-%m-%d}, a new key is needed"
    both = services_part(own, max(one.usable_until for one in own)).note
    assert both.startswith("tsa until ")
    assert "; service-seal until " in both


def test_a_service_whose_time_is_over_is_down(
    sqlite_database: Database,  # noqa: F811 - a fixture
    make_world: WorldMaker,  # noqa: F811 - a fixture
) -> None:
    unit = next(one for one in make_world(sqlite_database).authority.own_certificates() if one.name == TSA)
    assert services_part([unit], unit.usable_until).state is PartState.DEGRADED
    told = services_part([unit], unit.usable_until + timedelta(seconds=1))
    assert told.state is PartState.DOWN
    assert told.note == f"tsa until {unit.usable_until:%Y-%m-%d} (over), a new key is needed"


def test_a_responder_that_is_revoked_is_down_at_once(
    sqlite_database: Database,  # noqa: F811 - a fixture
    make_world: WorldMaker,  # noqa: F811 - a fixture
) -> None:
    world = make_world(sqlite_database)
    responder = world.authority.own_certificates()[0]
    world.authority.revoke(responder.certificate.serial_hex, RevocationReason.KEY_COMPROMISE, CLERK)
    (revoked,) = (one for one in world.authority.own_certificates() if one.name == responder.name)
    later = world.clock.now() + timedelta(seconds=1)
    assert services_part([revoked], later).state is PartState.DOWN
    assert promises_part(PromiseKind.RESPONDERS, [responder_promise(revoked)], later).state is PartState.DOWN
