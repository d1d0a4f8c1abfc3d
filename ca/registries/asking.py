"""Asking registries that may raise, hang or answer nonsense: each of these is silence, never a no."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue
from typing import Final

from ca.registries.answers import Claim, Denial, No, RegistryWord, Silence, Silent, Source, Yes
from ca.tokens.lights import CLOCK_TOLERANCE

DEADLINE: Final = timedelta(seconds=5)
MOST_WAITING: Final = 64
MAX_REFERENCE: Final = 128
_LOGGER: Final = logging.getLogger("mohr.registries")

_Heard = SimpleQueue[tuple[Source, object]]


class Interviewer:
    """Asks several registries at once and waits for all of them together. Threads may share it.

    A question that hangs keeps its thread; beyond `most_waiting` of them nothing more is asked.
    """

    def __init__(
        self,
        deadline: timedelta = DEADLINE,
        *,
        most_waiting: int = MOST_WAITING,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds, self._monotonic = deadline.total_seconds(), monotonic
        self._free = threading.BoundedSemaphore(most_waiting)

    def ask(self, questions: Mapping[Source, Callable[[], object]], now: datetime) -> tuple[RegistryWord, ...]:
        """Return one word for each question, in their order."""
        heard: _Heard = SimpleQueue()
        words: dict[Source, RegistryWord] = {}
        for source, question in questions.items():
            if self._free.acquire(blocking=False):
                threading.Thread(target=self._put, args=(source, question, heard, now), daemon=True).start()
            else:
                words[source] = Silent(source=source, at=now, why=Silence.BUSY)
        until = self._monotonic() + self._seconds
        while len(words) < len(questions):
            try:
                source, said = heard.get(timeout=max(until - self._monotonic(), 0))
            except Empty:
                break
            words[source] = weigh(source, said, now)
        return tuple(words.get(source, Silent(source=source, at=now, why=Silence.OVERDUE)) for source in questions)

    def _put(self, source: Source, question: Callable[[], object], heard: _Heard, now: datetime) -> None:
        try:
            said = question()
        except Exception as error:  # noqa: BLE001 - an adapter is another's program
            _LOGGER.warning("a registry failed", extra={"fields": {"source": source, "error": type(error).__name__}})
            said = Silent(source=source, at=now, why=Silence.FAILED)
        finally:
            self._free.release()
        heard.put((source, said))


def weigh(source: Source, said: object, now: datetime) -> RegistryWord:
    """Take what an adapter returned: garbage is silence, and a yes whose own end date has passed is a no."""
    if not isinstance(said, Yes | No | Silent) or said.source is not source or not _is_sound(said, now):
        return Silent(source=source, at=now, why=Silence.GARBLED)
    match said:
        case Silent():
            return replace(said, at=now)
        case Yes(valid_until=end) if end is not None and end <= now:
            return No(source=source, at=said.at, why=Denial.LAPSED, reference=said.reference, valid_until=end)
    return said


def _is_sound(said: RegistryWord, now: datetime) -> bool:
    """Whether the parts of a word are what its type says: adapters are not checked by our tools."""
    if not _is_instant(said.at) or said.at > now + CLOCK_TOLERANCE:
        return False
    match said:
        case Silent():
            return _is_a(Silence, said.why)
        case No() if not (_is_a(Denial, said.why) and _is_a(tuple, said.differs)):
            return False
        case No() if not all(_is_a(Claim, claim) for claim in said.differs):
            return False
    return _is_reference(said.reference) and (said.valid_until is None or _is_instant(said.valid_until))


def _is_a(kind: type[object], value: object) -> bool:
    return isinstance(value, kind)


def _is_instant(value: object) -> bool:
    return isinstance(value, datetime) and value.tzinfo is not None and not value.utcoffset()


def _is_reference(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_REFERENCE and value.isprintable()
