"""Rows of what registries said."""

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Connection, Row, insert, select

from ca.registries.answers import Claim, Denial, No, RegistryWord, Silence, Silent, Source, Yes
from ca.registries.tables import registry_words
from ca.tokens.lights import Answer

_w = registry_words.c
_NOTHING: Final = {"why": None, "differs": None, "reference": None, "valid_until": None}


def insert_words(connection: Connection, file_id: str, number: int, words: Iterable[RegistryWord]) -> None:
    """Write what was heard about a file when it was asked for the `number`-th time."""
    rows = [
        {"file_id": file_id, "round": number, "source": word.source.value, "answer": word.answer.value, "at": word.at}
        | _NOTHING
        | _columns(word)
        for word in words
    ]
    if rows:
        connection.execute(insert(registry_words), rows)


def _columns(word: RegistryWord) -> dict[str, Any]:
    match word:
        case Silent(why=silence):
            return {"why": silence.value}
        case Yes():
            return {"reference": word.reference, "valid_until": word.valid_until}
    differs = " ".join(claim.value for claim in word.differs)
    return {"why": word.why.value, "differs": differs, "reference": word.reference, "valid_until": word.valid_until}


def words_of(connection: Connection, file_id: str, number: int) -> tuple[RegistryWord, ...]:
    """Return what was heard about a file the `number`-th time, by source."""
    wanted = select(registry_words).where(_w.file_id == file_id, _w.round == number).order_by(_w.source)
    return tuple(_word(row) for row in connection.execute(wanted))


def _word(row: Row[Any]) -> RegistryWord:
    source = Source(row.source)
    match Answer(row.answer):
        case Answer.SILENT:
            return Silent(source=source, at=row.at, why=Silence(row.why))
        case Answer.OK:
            return Yes(source=source, at=row.at, reference=row.reference, valid_until=row.valid_until)
        case Answer.FAILED:
            return No(
                source=source,
                at=row.at,
                why=Denial(row.why),
                reference=row.reference,
                differs=tuple(Claim(claim) for claim in row.differs.split()),
                valid_until=row.valid_until,
            )
