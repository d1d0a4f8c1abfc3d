"""What stands between a registration file and a yes: whose eyes, and what the registries said."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Final

from ca.errors import FourEyesRequired, IllegalTransition
from ca.officers.identity import Officer
from ca.registration import MAX_REASON, RegistrationFile
from ca.registries.answers import No, RegistryWord, Silent, Source, Yes, denials, silences
from pki.errors import ErrorCode, InvalidInput, NotAllowed, Unavailable
from pki.identity import PersonIdentity

ALWAYS_ASKED: Final = frozenset({Source.LICENCE})
"""Whose silence nobody may accept: a centre's new right needs a fresh yes, as a connection token does."""


def parse_reason(text: str, what: str) -> str:
    """Return why somebody decided so, in single spaces; InvalidInput."""
    said = " ".join(text.split())
    if not 1 <= len(said) <= MAX_REASON or not said.replace("\u200c", "").isprintable():
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, f"{what} says why, in 1 to {MAX_REASON} characters")
    return said


def check_eyes(file: RegistrationFile, officer: Officer) -> None:
    """Nobody approves what they submitted, nor a file about themselves, nor twice; FourEyesRequired."""
    if officer.id == file.submitted_by:
        raise FourEyesRequired("whoever submitted a file does not approve it", "officer.submitted-it")
    identity = file.registration.identity
    own = officer.national_code if isinstance(identity, PersonIdentity) else None
    about_self = isinstance(identity, PersonIdentity) and identity.national_code in (own, officer.id)
    if about_self or (file.registration.licence is not None and officer.id == file.registration.licence):
        raise FourEyesRequired("nobody approves their own file", "officer.own-file")
    if any(officer.id == given.officer for given in file.approvals):
        raise FourEyesRequired("this officer approved the file before", "officer.twice")


def check_words(
    words: Iterable[RegistryWord], sources: Collection[Source], now: datetime, *, silence_accepted: bool
) -> tuple[Silent, ...]:
    """Return the silences that a yes accepts; `sources` are the registries that have to be asked.

    NotAllowed (`registry-refused`) names every registry that said no; IllegalTransition when a registry was not
    asked, or what it confirmed has ended since; Unavailable (`registry-silent`) for a silence that is not accepted.
    """
    heard = {word.source: word for word in words}
    refused = denials(heard.values())
    if refused:
        raise NotAllowed(ErrorCode.REGISTRY_REFUSED, "; ".join(map(_say, refused)), reason="file.registry-says-no")
    missing = sorted(set(sources) - set(heard))
    if missing:
        raise IllegalTransition(f"{', '.join(missing)} was not asked yet", reason="file.unchecked")
    ended = sorted(word.source for word in heard.values() if _has_ended(word, now))
    if ended:
        raise IllegalTransition(f"what {', '.join(ended)} confirmed has ended: ask again", reason="file.word-ended")
    silent = silences(heard.values())
    unaccepted = silent if not silence_accepted else [word for word in silent if word.source in ALWAYS_ASKED]
    if unaccepted:
        names = ", ".join(sorted(word.source for word in unaccepted))
        raise Unavailable(ErrorCode.REGISTRY_SILENT, names, reason="file.registry-silent")
    return silent


def _say(word: No) -> str:
    claims = f" ({', '.join(word.differs)})" if word.differs else ""
    return f"{word.source}: {word.why}{claims}"


def _has_ended(word: RegistryWord, now: datetime) -> bool:
    return isinstance(word, Yes) and word.valid_until is not None and word.valid_until <= now
