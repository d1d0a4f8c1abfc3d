"""One light and the answers that change it: silence is never a no and never a yes."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from ca.tokens.lights import Answer, Light, LightKind, RegistryAnswer, next_light

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def answer(said: Answer, at: datetime = NOW, valid_until: datetime | None = None) -> RegistryAnswer:
    return RegistryAnswer(
        kind=LightKind.OPERATING_LICENCE,
        answer=said,
        source="register",
        at=at,
        reference=f"no-{said}",
        valid_until=valid_until,
    )


def after(*answers: RegistryAnswer) -> Light:
    light = None
    for said in answers:
        light = next_light(light, said, max(said.at, NOW))
    assert light is not None
    return light


def test_a_light_that_was_never_answered_knows_nothing() -> None:
    light = after(answer(Answer.SILENT))
    assert (light.state, light.last_answer, light.last_answer_at) == (Answer.SILENT, None, None)


def test_silence_keeps_the_last_yes_with_its_time_and_reference() -> None:
    light = after(answer(Answer.OK), answer(Answer.SILENT, NOW + HOUR))
    assert (light.state, light.since) == (Answer.SILENT, NOW + HOUR)
    assert (light.last_answer, light.last_answer_at, light.reference) == (Answer.OK, NOW, "no-ok")


def test_a_failed_light_stays_failed_under_silence() -> None:
    failed = after(answer(Answer.FAILED))
    assert after(answer(Answer.FAILED), answer(Answer.SILENT, NOW + HOUR)) == failed


def test_one_clear_answer_cures() -> None:
    light = after(answer(Answer.FAILED), answer(Answer.SILENT, NOW + HOUR), answer(Answer.OK, NOW + 2 * HOUR))
    assert (light.state, light.since, light.last_answer_at) == (Answer.OK, NOW + 2 * HOUR, NOW + 2 * HOUR)


def test_the_same_answer_again_moves_only_the_age() -> None:
    first, again = after(answer(Answer.OK)), after(answer(Answer.OK), answer(Answer.OK, NOW + HOUR))
    assert again.since == NOW
    assert again.last_answer_at == NOW + HOUR
    assert again.says_the_same(first)
    assert not again.says_the_same(None)
    assert not after(answer(Answer.FAILED)).says_the_same(first)


def test_an_older_answer_than_the_last_is_silence() -> None:
    failed = after(answer(Answer.FAILED), answer(Answer.OK, NOW - HOUR))
    assert failed.last_answer is Answer.FAILED
    assert after(answer(Answer.OK), answer(Answer.FAILED, NOW - HOUR)).last_answer is Answer.OK


def test_an_answer_that_another_server_overtook_changes_nothing() -> None:
    known = after(answer(Answer.OK))
    for said in Answer:
        assert next_light(known, answer(said, NOW - timedelta(seconds=60)), NOW) == known


def test_an_answer_from_the_future_is_silence() -> None:
    assert next_light(None, answer(Answer.OK, NOW + 2 * HOUR), NOW).last_answer is None
    assert next_light(None, answer(Answer.OK, NOW + timedelta(seconds=60)), NOW).last_answer is Answer.OK


def test_a_yes_whose_end_date_had_passed_when_it_was_given_is_a_no() -> None:
    assert after(answer(Answer.OK, valid_until=NOW)).state is Answer.FAILED
    assert after(answer(Answer.OK, valid_until=NOW + HOUR)).state is Answer.OK


@given(st.lists(st.tuples(st.sampled_from(Answer), st.integers(-3, 3)), min_size=1, max_size=12))
def test_the_last_answer_is_always_the_newest_one_that_was_given(history: list[tuple[Answer, int]]) -> None:
    light: Light | None = None
    newest: RegistryAnswer | None = None
    for step, (said, skew) in enumerate(history):
        now = NOW + step * HOUR
        told = answer(said, now + skew * HOUR)
        light = next_light(light, told, now)
        if said is not Answer.SILENT and told.at <= now and (newest is None or told.at >= newest.at):
            newest = told
        assert light.last_answer == (newest.answer if newest else None)
        assert light.last_answer_at == (newest.at if newest else None)
        assert (light.state is Answer.FAILED) == (light.last_answer is Answer.FAILED)
        assert light.since <= now
