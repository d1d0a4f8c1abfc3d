"""The gate: closed by a no, narrowed by the age of silence, never to nothing."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.tokens.gate import HIX_POLICY, GatePolicy, decide
from ca.tokens.lights import Answer, Light, LightKind, RegistryAnswer, next_light
from pki.access_tokens import Assurance
from pki.errors import InvalidInput

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def light(kind: LightKind, age: timedelta = timedelta(), said: Answer | None = Answer.OK) -> Light:
    return Light(
        kind=kind,
        state=said or Answer.SILENT,
        since=NOW - age,
        last_answer=said,
        last_answer_at=NOW - age if said else None,
        source="register",
    )


def lights(age: timedelta = timedelta()) -> list[Light]:
    return [light(kind, age) for kind in LightKind]


@pytest.mark.parametrize(
    ("age", "assurance", "scopes"),
    [
        (timedelta(), Assurance.FRESH, HIX_POLICY.every),
        (DAY, Assurance.FRESH, HIX_POLICY.every),
        (DAY + timedelta(seconds=1), Assurance.STALE, HIX_POLICY.every),
        (7 * DAY, Assurance.STALE, HIX_POLICY.every),
        (8 * DAY, Assurance.NARROWED, HIX_POLICY.narrowed),
        (30 * DAY, Assurance.NARROWED, HIX_POLICY.narrowed),
        (31 * DAY, Assurance.EMERGENCY, HIX_POLICY.emergency),
        (3650 * DAY, Assurance.EMERGENCY, HIX_POLICY.emergency),
    ],
)
def test_the_age_of_the_last_yes_narrows(age: timedelta, assurance: Assurance, scopes: tuple[str, ...]) -> None:
    oldest = [light(LightKind.SIAM_ID, age), light(LightKind.OPERATING_LICENCE), light(LightKind.CERTIFIED_SYSTEM)]
    decision = decide(oldest, HIX_POLICY, NOW)
    assert decision.open
    assert (decision.assurance, decision.scopes) == (assurance, scopes)


@pytest.mark.parametrize("kind", LightKind)
def test_one_no_closes_the_gate_and_is_named(kind: LightKind) -> None:
    failed = light(kind, 40 * DAY, Answer.FAILED)
    decision = decide([failed if other.kind is kind else other for other in lights()], HIX_POLICY, NOW)
    assert not decision.open
    assert decision.failed == (failed,)


@pytest.mark.parametrize("kind", LightKind)
def test_a_light_that_was_never_answered_keeps_the_gate_shut_but_is_no_failure(kind: LightKind) -> None:
    without = [other for other in lights() if other.kind is not kind]
    for known in (without, [*without, light(kind, said=None)]):
        decision = decide(known, HIX_POLICY, NOW)
        assert (decision.open, decision.failed, decision.unknown) == (False, (), (kind,))


def test_a_licence_that_lapsed_while_its_registry_is_silent_is_narrowed_at_once_and_not_suspended() -> None:
    lapsed = replace(light(LightKind.OPERATING_LICENCE, DAY / 2), valid_until=NOW)
    others = [other for other in lights() if other.kind is not LightKind.OPERATING_LICENCE]
    decision = decide([lapsed, *others], HIX_POLICY, NOW)
    assert decision.open
    assert decision.assurance is Assurance.NARROWED
    assert decide([lapsed, *others], HIX_POLICY, NOW - timedelta(seconds=1)).assurance is Assurance.FRESH


def test_a_decision_can_be_replayed_from_what_it_carries() -> None:
    decision = decide(lights(2 * DAY), HIX_POLICY, NOW)
    assert decision.policy_version == HIX_POLICY.version
    assert decision.decided_at == NOW
    assert dict(decision.ages) == dict.fromkeys(LightKind, 2 * DAY)


def test_asked_scopes_are_narrowed_to_what_is_allowed() -> None:
    fresh, old = decide(lights(), HIX_POLICY, NOW), decide(lights(40 * DAY), HIX_POLICY, NOW)
    assert fresh.grant(("hix.read", "hix.submit")) == ("hix.read", "hix.submit")
    assert old.grant(("hix.read", "hix.dispense")) == ("hix.dispense",)
    assert fresh.grant(()) == HIX_POLICY.every


def test_asking_only_for_what_silence_took_away_gives_the_emergency_scopes() -> None:
    assert decide(lights(40 * DAY), HIX_POLICY, NOW).grant(("hix.read",)) == HIX_POLICY.emergency


@pytest.mark.parametrize(
    "change",
    [
        {"emergency": ()},
        {"emergency": ("hix.other",)},
        {"narrowed": ("hix.submit",)},
        {"stale_after": timedelta()},
        {"narrow_after": 31 * DAY},
    ],
    ids=str,
)
def test_a_policy_that_could_leave_a_centre_with_nothing_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        replace(HIX_POLICY, **change)  # type: ignore[arg-type]  # each case is wrong on purpose


HISTORY = st.lists(
    st.tuples(st.sampled_from(LightKind), st.sampled_from(Answer), st.integers(0, 20 * 24)), min_size=1, max_size=20
)


def replay(history: Iterable[tuple[LightKind, Answer, int]]) -> tuple[dict[LightKind, Light], datetime]:
    now, known = NOW, dict[LightKind, Light]()
    for kind, said, hours in history:
        now += timedelta(hours=hours)
        told = RegistryAnswer(kind=kind, answer=said, source="register", at=now)
        known[kind] = next_light(known.get(kind), told, now)
    return known, now


@given(HISTORY)
def test_over_any_history_a_no_closes_and_silence_never_empties(history: list[tuple[LightKind, Answer, int]]) -> None:
    known, now = replay(history)
    decision = decide(known.values(), HIX_POLICY, now)
    given_answers = {kind: said for kind, said, _hours in history if said is not Answer.SILENT}
    assert {failed.kind for failed in decision.failed} == {
        k for k, said in given_answers.items() if said is Answer.FAILED
    }
    assert set(decision.unknown) == set(LightKind) - given_answers.keys()
    assert set(HIX_POLICY.emergency) <= set(decision.scopes)
    assert decision.grant(("hix.read",))


@given(HISTORY, st.integers(0, 24 * 100))
def test_more_silence_never_gives_more(history: list[tuple[LightKind, Answer, int]], hours: int) -> None:
    known, now = replay(history)
    policy: GatePolicy = HIX_POLICY
    early = decide(known.values(), policy, now)
    silent = {
        kind: next_light(at, RegistryAnswer(kind=kind, answer=Answer.SILENT, source="", at=now), now)
        for kind, at in known.items()
    }
    late = decide(silent.values(), policy, now + timedelta(hours=hours))
    assert set(late.scopes) <= set(early.scopes)
    assert late.open == early.open
