"""Searching the table of certificates by one index, the one of the word that fits the fewest."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Connection, Row, Select, and_, literal, or_, select, tuple_

from ca.inventory.index_choice import beside, sorted_by
from ca.inventory.search import InventoryEntry, Page, Search
from ca.inventory.tables import statistics
from ca.records import UNMARKED, HolderMarks
from ca.status.revocation import CertificateState, RevocationReason
from ca.tables import ENDED, certificates, registration_files
from pki.errors import ErrorCode, InvalidInput

MAX_PAGE: Final = 1000

_c = certificates.c
_SHOWN: Final = (
    _c.serial,
    _c.state,
    _c.profile,
    _c.issuer,
    _c.name,
    _c.file_id,
    _c.licence,
    _c.siam_id,
    _c.profession,
    _c.province,
    _c.unapproved,
    _c.not_before,
    _c.not_after,
    _c.issued_at,
    _c.revoked_at,
    _c.reason,
    _c.predecessor,
)
_FEW: Final = ("serial", "serial_prefix", "holder", "file_id", "licence", "siam_id")
_EQUAL: Final = ("serial", "holder", "file_id", "licence", "siam_id", "profession", "province", "profile")
_OF_MANY: Final = ("profession", "province", "profile", "state")
_MOST: Final = (CertificateState.GOOD, CertificateState.EXPIRED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Behind which row a page begins."""

    id: int
    not_after: datetime

    @property
    def bound_end(self) -> ColumnElement[datetime]:
        """The end of its validity as a value of a statement."""
        return literal(self.not_after, _c.not_after.type)


def leading_word(wanted: Search, sizes: Mapping[str, int]) -> str:
    """Name the condition whose index is read; `id` where nothing is asked.

    `sizes` says how many certificates fit a word of many, as far as the last count knows.
    """
    asked = wanted.asked
    found = next((name for name in _FEW if name in asked), None)
    if found is not None:
        return found
    if wanted.by_end:
        return "not_after"
    rare = ("state",) if wanted.state not in _MOST else ()
    of_many = [name for name in dict.fromkeys(("profession", "province", *rare, "profile", "state")) if name in asked]
    # min takes the first of equals: without a count the order above stands.
    return min(of_many, key=lambda name: sizes.get(name, 0), default="id")


def _sizes(connection: Connection, wanted: Search) -> dict[str, int]:
    """Look up how many certificates fit each word of many."""
    asked = [(name, str(getattr(wanted, name))) for name in _OF_MANY if name in wanted.asked]
    if len(asked) < 2:
        return {}
    s = statistics.c
    counted = select(s.name, s.value).where(or_(*(and_(s.name == name, s.dimension == word) for name, word in asked)))
    return {row.name: row.value for row in connection.execute(counted)}


def _conditions(wanted: Search, leading: str) -> list[ColumnElement[bool]]:
    def column(name: str) -> ColumnElement[Any]:
        return _c[name] if name == leading else beside(_c[name])

    equal = {name: getattr(wanted, name) for name in _EQUAL if name != leading}
    if leading != "state" and wanted.state is not None:
        equal["state"] = wanted.state.value
    found = [beside(_c[name]) == value for name, value in equal.items() if value is not None]
    if wanted.serial_prefix is not None:
        serial = _c.serial if leading == "serial_prefix" else beside(_c.serial)
        found += [serial >= wanted.serial_prefix, serial < wanted.serial_prefix + "g"]  # behind every digit
    if wanted.expires_from is not None:
        found.append(column("not_after") >= wanted.expires_from)
    if wanted.expires_before is not None:
        found.append(column("not_after") < wanted.expires_before)
    return found


def _by_few(wanted: Search, leading: str, place: Place | None) -> Select[Any]:
    """Select by a word that few rows have, and sort them."""
    number, end = sorted_by(_c.id), sorted_by(_c.not_after)
    statement = select(*_SHOWN)
    if leading != "serial_prefix":
        statement = statement.where(_c[leading] == getattr(wanted, leading))
    if not wanted.by_end:
        statement = statement if place is None else statement.where(number < place.id)
        return statement.order_by(number.desc())
    if place is not None:
        behind = and_(end == place.bound_end, number > place.id)
        statement = statement.where(or_(end > place.bound_end, behind))
    return statement.order_by(end, number)


def _by_end(place: Place | None) -> Select[Any]:
    """Walk the index of the ends of validity."""
    statement = select(*_SHOWN).order_by(_c.not_after, _c.id)
    if place is None:
        return statement
    behind = or_(beside(_c.not_after) > place.bound_end, beside(_c.id) > place.id)
    return statement.where(_c.not_after >= place.bound_end, behind)


def _by_many(wanted: Search, leading: str, place: Place | None) -> Select[Any]:
    """Walk the part of an index that has one value, from its end.

    Bounds on both sides say what `=` says, but leave the order of two columns to the one index that has it.
    """
    column, value = _c[leading], str(getattr(wanted, leading))
    statement = select(*_SHOWN).where(column >= value, column <= value)
    if place is not None:
        statement = statement.where(tuple_(column, _c.id) < tuple_(literal(value), literal(place.id)))
    return statement.order_by(column.desc(), _c.id.desc())


def _newest(place: Place | None) -> Select[Any]:
    statement = select(*_SHOWN).order_by(_c.id.desc())
    return statement if place is None else statement.where(_c.id < place.id)


def search_statement(wanted: Search, leading: str, place: Place | None, limit: int) -> Select[Any]:
    """Return the statement of one page."""
    if leading in _FEW:
        statement = _by_few(wanted, leading, place)
    elif leading == "not_after":
        statement = _by_end(place)
    elif leading == "id":
        statement = _newest(place)
    else:
        statement = _by_many(wanted, leading, place)
    return statement.where(*_conditions(wanted, leading)).limit(limit)


def page_rows(
    connection: Connection, wanted: Search, columns: Sequence[Column[Any]], *, after: str | None, limit: int
) -> Sequence[Row[Any]]:
    """Return the rows of one page; InvalidInput for a place to go on from (`after`, a serial number) that is none."""
    place = None if after is None else _place(connection, after)
    leading = leading_word(wanted, _sizes(connection, wanted))
    return connection.execute(search_statement(wanted, leading, place, limit).with_only_columns(*columns)).all()


def _entry(row: Any, successor: str | None) -> InventoryEntry:
    return InventoryEntry(
        serial=row.serial,
        state=CertificateState(row.state),
        profile=row.profile,
        issuer=row.issuer,
        name=row.name,
        file_id=row.file_id,
        licence=row.licence,
        siam_id=row.siam_id,
        profession=row.profession,
        province=row.province,
        unapproved=row.unapproved,
        not_before=row.not_before,
        not_after=row.not_after,
        issued_at=row.issued_at,
        revoked_at=row.revoked_at,
        reason=None if row.reason is None else RevocationReason(row.reason),
        predecessor=row.predecessor,
        successor=successor,
    )


def successors_of(connection: Connection, serials: Collection[str]) -> dict[str, str]:
    """Return what renews or replaces these certificates and has not ended, by their serial numbers."""
    wanted = select(_c.predecessor, _c.serial).where(_c.predecessor.in_(serials), _c.state.not_in(ENDED))
    return {row.predecessor: row.serial for row in connection.execute(wanted)}


def _place(connection: Connection, serial: str) -> Place:
    row = connection.execute(select(_c.id, _c.not_after).where(_c.serial == serial)).one_or_none()
    if row is None:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "there is no such certificate to go on from")
    return Place(id=row.id, not_after=row.not_after)


def marks_of(connection: Connection, serial: str) -> HolderMarks:
    """Return what a certificate is found by; nothing where there is none."""
    columns = (_c.licence, _c.profession, _c.province, _c.siam_id)
    row = connection.execute(select(*columns).where(_c.serial == serial)).one_or_none()
    return UNMARKED if row is None else HolderMarks(**row._mapping)  # noqa: SLF001 - its public name


def realms_of(connection: Connection, files: Collection[str]) -> frozenset[str | None]:
    """Return the realms of registration files; None is the topmost."""
    f = registration_files.c
    return frozenset(connection.scalars(select(f.realm_id).where(f.id.in_(files)).distinct()))


def search(connection: Connection, wanted: Search, *, after: str | None, limit: int) -> Page:
    """Return a page of at most 1000: newest first, or by the end of validity where a window of it is asked for.

    InvalidInput for a place to go on from (`after`, a serial number) that is none.
    """
    size = min(max(limit, 1), MAX_PAGE)
    rows = page_rows(connection, wanted, _SHOWN, after=after, limit=size + 1)
    successors = successors_of(connection, [row.serial for row in rows[:size]])
    entries = tuple(_entry(row, successors.get(row.serial)) for row in rows[:size])
    return Page(entries=entries, next=entries[-1].serial if len(rows) > size else None)
