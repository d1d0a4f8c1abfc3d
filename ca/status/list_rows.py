"""Rows of lists: entries in runs, the pages of what is published, lists and deltas with their numbers.

A published list of a million entries is 52 MB, which no row should hold at each change of one entry. Its entries lie
in pages, one for each `PAGE_IDS` certificates in the order of the register; only pages that changed are written, and
their digests say which these are. The list's own row has the rest of it: a list without entries.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    LargeBinary,
    Table,
    bindparam,
    cast,
    delete,
    func,
    insert,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.exc import IntegrityError

from ca.errors import CrlRegression
from ca.status.crl import CrlPlan, PublishedCrl, with_entries
from ca.tables import certificates, crl_deltas, crl_pages, crls
from pki import der
from storage.base import UtcDateTime

PAGE_IDS: Final = 1 << 14
_SERIALS_AT_ONCE: Final = 500
_PAGES_AT_ONCE: Final = 500
_ROUND: Final = 4  # pages fetched at once, a few megabytes

_c = certificates.c
_d = crl_deltas.c
_l = crls.c
_p = crl_pages.c


class Run(NamedTuple):
    """The entries of one page, in the order of the register, and how many they are."""

    page: int
    content: bytes
    entries: int


class ChangedPage(NamedTuple):
    """A page that is another one now; its entries lie in the list's to-be-signed bytes."""

    page: int
    sha256: bytes
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ListHead:
    """A published list, or delta, as its row has it; the `frame` of one that is `paged` has no entries."""

    number: int
    this_update: datetime
    next_update: datetime
    entries: int
    position: int | None
    frame: bytes
    base: int | None = None
    paged: bool = False


class ListedRow(NamedTuple):
    """What a delta says of a certificate: its entry, or since when it has none; and whether its status is listed."""

    entry: bytes | None
    released_at: datetime | None
    listed: bool


# --- entries ---

_LISTED: Final = (
    _c.issuer == bindparam("issuer"),
    _c.shard == bindparam("shard"),
    _c.crl_entry.is_not(None),
    _c.not_after >= bindparam("ended_from", type_=UtcDateTime()),
)
_IN_PAGE: Final = (
    select(_c.crl_entry)
    .where(*_LISTED, _c.id >= bindparam("first"), _c.id < bindparam("following"))
    .order_by(_c.id)
    .subquery()
)
# SQLite joins blobs as it joins texts, octet by octet; what comes out is compared and read before it is signed.
_RUN_OF_SQLITE: Final = select(
    cast(func.group_concat(_IN_PAGE.c.crl_entry, literal_column("''")), LargeBinary), func.count()
).select_from(_IN_PAGE)
_ENDS: Final = tuple(
    select(_c.id).where(*_LISTED[:3]).order_by(order).limit(1) for order in (_c.id.asc(), _c.id.desc())
)
_PAGE_OF_ROW: Final[ColumnElement[int]] = literal_column(f"id / {PAGE_IDS}").label("page")
_RUNS_OF_POSTGRESQL: Final = (
    select(
        _PAGE_OF_ROW,
        func.string_agg(_c.crl_entry, aggregate_order_by(literal_column("''::bytea"), _c.id), type_=LargeBinary()),
        func.count(),
    )
    .where(*_LISTED)
    .group_by(text("page"))
    .order_by(text("page"))
)


def entry_runs(connection: Connection, issuer: str, shard: int, *, ended_from: datetime) -> Iterator[Run]:
    """Yield the entries of a shard, page by page, of certificates that ended at `ended_from` or later."""
    of_list = {"issuer": issuer, "shard": shard, "ended_from": ended_from}
    if connection.dialect.name == "postgresql":
        # Of this one statement: what is set on a connection stays with it for the whole transaction.
        rows = connection.execute(_RUNS_OF_POSTGRESQL, of_list, execution_options={"yield_per": _ROUND})
        for page, content, entries in rows:
            yield Run(int(page), bytes(content), entries)
        return
    first, last = (connection.execute(end, of_list).scalar_one_or_none() for end in _ENDS)
    if first is None or last is None:
        return
    for page in range(first // PAGE_IDS, last // PAGE_IDS + 1):
        bounds = {"first": page * PAGE_IDS, "following": (page + 1) * PAGE_IDS}
        content, entries = connection.execute(_RUN_OF_SQLITE, {**of_list, **bounds}).one()
        if entries:
            yield Run(page, content, entries)


def listed_rows(connection: Connection, issuer: str, serials: Sequence[str]) -> dict[str, ListedRow]:
    """Return what a list has to say of each of these certificates, in the order of the register."""
    found: dict[str, ListedRow] = {}
    for begin in range(0, len(serials), _SERIALS_AT_ONCE):
        some = serials[begin : begin + _SERIALS_AT_ONCE]
        columns = (_c.serial, _c.crl_entry, _c.released_at, _c.revoked_at)
        statement = select(*columns).where(_c.serial.in_(some), _c.issuer == issuer)
        for row in connection.execute(statement.order_by(_c.id)):
            found[row.serial] = ListedRow(row.crl_entry, row.released_at, row.revoked_at is not None)
    return found


# --- pages ---


def page_digests(connection: Connection, issuer: str, shard: int) -> dict[int, bytes]:
    """Return the digests of the pages of the published list, by page."""
    statement = select(_p.page, _p.sha256).where(_p.issuer == issuer, _p.shard == shard)
    return {row.page: bytes(row.sha256) for row in connection.execute(statement)}


def page_content(connection: Connection, issuer: str, shard: int, page: int) -> bytes:
    """Return the entries of one page of the published list."""
    statement = select(_p.content).where(_p.issuer == issuer, _p.shard == shard, _p.page == page)
    return bytes(connection.execute(statement).scalar_one())


def _write_pages(
    connection: Connection, issuer: str, shard: int, tbs: bytes, changed: Sequence[ChangedPage], vanished: Sequence[int]
) -> None:
    view = memoryview(tbs)
    gone = [*vanished, *(one.page for one in changed)]
    for begin in range(0, len(gone), _PAGES_AT_ONCE):
        some = gone[begin : begin + _PAGES_AT_ONCE]
        connection.execute(delete(crl_pages).where(_p.issuer == issuer, _p.shard == shard, _p.page.in_(some)))
    if changed:
        of_list = {"issuer": issuer, "shard": shard}
        rows = [
            {**of_list, "page": one.page, "sha256": one.sha256, "content": view[one.start : one.end]} for one in changed
        ]
        connection.execute(insert(crl_pages), rows)


# --- lists ---


def lock_list(connection: Connection, issuer: str, shard: int) -> None:
    """Let one program at a time change the rows of a list, until it commits; SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        name = f"crl/{issuer}/{shard}"
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))


def last_shard(connection: Connection, issuer: str) -> int:
    """Return the highest shard that ever had a list, -1 where none had."""
    highest = connection.execute(select(func.max(_l.shard)).where(_l.issuer == issuer)).scalar_one_or_none()
    return -1 if highest is None else int(highest)


def list_head(connection: Connection, issuer: str, shard: int) -> ListHead | None:
    """Return the published list of the highest number, without entries, or None."""
    row = connection.execute(_newest(crls, _l, issuer, shard)).one_or_none()
    return None if row is None else _head(row)


def delta_head(connection: Connection, issuer: str, shard: int) -> ListHead | None:
    """Return the published delta of the highest number, or None."""
    row = connection.execute(_newest(crl_deltas, _d, issuer, shard)).one_or_none()
    return None if row is None else _head(row, row.base)


def _newest(table: Table, columns: Any, issuer: str, shard: int) -> Any:
    return (
        select(table)
        .where(columns.issuer == issuer, columns.shard == shard, columns.der.is_not(None))
        .order_by(columns.number.desc())
        .limit(1)
    )


def _head(row: Any, base: int | None = None) -> ListHead:
    return ListHead(
        number=row.number,
        this_update=row.this_update,
        next_update=row.next_update,
        entries=row.entries,
        position=row.position,
        frame=bytes(row.der),
        base=base,
        paged=base is None and row.paged,
    )


def list_times(connection: Connection, issuer: str, shard: int, number: int) -> tuple[datetime, int | None] | None:
    """Return when a list that was published was made, and its place in the feed."""
    statement = select(_l.this_update, _l.position).where(_l.issuer == issuer, _l.shard == shard, _l.number == number)
    row = connection.execute(statement).one_or_none()
    return None if row is None else (row.this_update, row.position)


def latest_crl(connection: Connection, issuer: str, shard: int) -> PublishedCrl | None:
    """Return the published list of the highest number with its delta, or None.

    CrlRegression when what is stored is not what was signed.
    """
    row = connection.execute(_newest(crls, _l, issuer, shard)).one_or_none()
    if row is None:
        return None
    pages = select(_p.content).where(_p.issuer == issuer, _p.shard == shard).order_by(_p.page)
    runs = [bytes(content) for content in connection.execute(pages).scalars()]
    whole = with_entries(bytes(row.der), runs) if row.paged else bytes(row.der)
    outer = der.parse(whole)
    signed = memoryview(whole)[outer.content_offset : outer.sequence()[0].end_offset]
    if sha256(signed).digest() != bytes(row.tbs_sha256):
        raise CrlRegression("the stored list is not the one that was signed")
    delta = latest_delta(connection, issuer, shard)
    return published(issuer, shard, _head(row), whole, delta if delta and delta.number >= row.number else None)


def latest_delta(connection: Connection, issuer: str, shard: int) -> PublishedCrl | None:
    """Return the published delta of the highest number, or None."""
    head = delta_head(connection, issuer, shard)
    return None if head is None else published(issuer, shard, head, head.frame)


def published(issuer: str, shard: int, head: ListHead, data: bytes, delta: PublishedCrl | None = None) -> PublishedCrl:
    """Join what is known of a list and its bytes."""
    return PublishedCrl(
        issuer=issuer,
        shard=shard,
        number=head.number,
        this_update=head.this_update,
        next_update=head.next_update,
        entries=head.entries,
        der=data,
        position=head.position,
        base=head.base,
        delta=delta,
    )


def next_crl_number(connection: Connection, issuer: str, shard: int) -> int:
    """Return the number after the highest ever reserved, for a list or for a delta."""
    highest = (
        select(func.max(columns.number)).where(columns.issuer == issuer, columns.shard == shard) for columns in (_l, _d)
    )
    return 1 + max(int(connection.execute(statement).scalar_one_or_none() or 0) for statement in highest)


def reserve_crl(
    connection: Connection, plan: CrlPlan, shard: int, digest: bytes, *, entries: int, position: int
) -> None:
    """Write the intent of a list, or of a delta, by its digest; CrlRegression when another program has its number."""
    values: dict[str, Any] = {
        "issuer": plan.issuer.label.value,
        "shard": shard,
        "number": plan.number,
        "this_update": plan.this_update,
        "next_update": plan.next_update,
        "entries": entries,
        "tbs_sha256": digest,
        "position": position,
    }
    table = crls if plan.base is None else crl_deltas
    try:
        connection.execute(insert(table).values(values if plan.base is None else {**values, "base": plan.base}))
    except IntegrityError as error:
        raise CrlRegression("another program is publishing this list") from error


def store_crl(
    connection: Connection,
    of: tuple[str, int, int],
    frame: bytes,
    tbs: bytes,
    *,
    changed: Sequence[ChangedPage] = (),
    vanished: Sequence[int] = (),
) -> None:
    """Publish a list (issuer, shard, number) whose intent is there: its frame, and the pages of it that changed."""
    _publish(connection, crls, _l, of, frame)
    connection.execute(update(crls).where(*_is(_l, of)).values(paged=True))
    _write_pages(connection, of[0], of[1], tbs, changed, vanished)


def store_delta(connection: Connection, of: tuple[str, int, int], data: bytes) -> None:
    """Publish a delta whose intent is there."""
    _publish(connection, crl_deltas, _d, of, data)


def _publish(connection: Connection, table: Table, columns: Any, of: tuple[str, int, int], data: bytes) -> None:
    if connection.execute(update(table).where(*_is(columns, of), columns.der.is_(None)).values(der=data)).rowcount != 1:
        raise CrlRegression("the list has no intent")
    # The bytes of older lists are dropped; their numbers, times and digests stay.
    issuer, shard, number = of
    older = (columns.issuer == issuer, columns.shard == shard, columns.number < number, columns.der.is_not(None))
    connection.execute(update(table).where(*older).values(der=None))


def _is(columns: Any, of: tuple[str, int, int]) -> tuple[ColumnElement[bool], ...]:
    issuer, shard, number = of
    return (columns.issuer == issuer, columns.shard == shard, columns.number == number)
