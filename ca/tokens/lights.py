"""The three lights of a centre and what one answer of a registry does to them.

Permission to exchange needs an operating licence, a SIAM id and a certified system (Roadmap principle 7).
A registry says ok, failed, or nothing; "did not answer" is never "no" and never "yes". Silence changes no
last answer, so a failed light stays failed however long its registry is silent.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum, unique
from typing import Final

CLOCK_TOLERANCE: Final = timedelta(seconds=60)


@unique
class LightKind(StrEnum):
    """What is asked about a centre, each of its own source."""

    OPERATING_LICENCE = "operating-licence"
    SIAM_ID = "siam-id"
    CERTIFIED_SYSTEM = "certified-system"


@unique
class Answer(StrEnum):
    """The three possible outcomes of asking."""

    OK = "ok"
    FAILED = "failed"
    SILENT = "silent"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryAnswer:
    """What one source said about one light. `at` is the instant its knowledge is from, not that of asking.

    `reference` is the source's own number of the licence, entry or decision; `valid_until` the end date of
    what it attests.
    """

    kind: LightKind
    answer: Answer
    source: str
    at: datetime
    reference: str = ""
    valid_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """One light as it stands. `state` holds since `since`; source, reference and end date are the last answer's."""

    kind: LightKind
    state: Answer
    since: datetime
    last_answer: Answer | None
    last_answer_at: datetime | None
    source: str
    reference: str = ""
    valid_until: datetime | None = None

    def says_the_same(self, other: "Light | None") -> bool:
        """Whether nothing but the age of the knowledge differs."""
        return other is not None and replace(self, last_answer_at=None) == replace(other, last_answer_at=None)


def next_light(previous: Light | None, answer: RegistryAnswer, now: datetime) -> Light:
    """Return the light after `answer`, heard at `now`.

    An answer older than the last one, or from the future, counts as silence; one that another server of ours
    only overtook is nothing at all. An ok whose own end date had passed when it was given is a no.
    """
    if previous and previous.last_answer_at:
        behind = previous.last_answer_at - answer.at
        if timedelta() < behind <= CLOCK_TOLERANCE:
            return previous
    said = _weigh(previous, answer, now)
    if said is not Answer.SILENT:
        return Light(
            kind=answer.kind,
            state=said,
            since=previous.since if previous and previous.state is said else now,
            last_answer=said,
            last_answer_at=answer.at,
            source=answer.source,
            reference=answer.reference,
            valid_until=answer.valid_until,
        )
    if previous is None:
        return Light(
            kind=answer.kind, state=said, since=now, last_answer=None, last_answer_at=None, source=answer.source
        )
    if previous.state is Answer.OK:
        return replace(previous, state=said, since=now)
    return previous


def _weigh(previous: Light | None, answer: RegistryAnswer, now: datetime) -> Answer:
    if answer.at > now + CLOCK_TOLERANCE:
        return Answer.SILENT
    if previous and previous.last_answer_at and answer.at < previous.last_answer_at:
        return Answer.SILENT
    if answer.answer is Answer.OK and answer.valid_until is not None and answer.valid_until <= answer.at:
        return Answer.FAILED
    return answer.answer
