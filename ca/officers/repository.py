"""Rows of realms, officers, certificates, roles and requests.

What decides is read FOR SHARE: on PostgreSQL nobody suspends an officer or takes a role between the reading and the
commit of what was decided by it; SQLite has one writer at a time.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from ca.officers.identity import Role
from ca.officers.realms import MAX_DEPTH, Level, Realm
from ca.officers.records import BoundCertificate, Grant, OfficerRecord, OfficerState, RequestState, RoleRequest
from ca.officers.scopes import Scope, names_text, parse_names
from ca.officers.tables import (
    officer_certificates,
    officer_roles,
    officer_statements,
    officers,
    realms,
    role_requests,
)
from ca.tables import certificates
from pki.errors import Conflict, ErrorCode, NotFound
from storage.unit_of_work import take_turn

MAX_PAGE: Final = 500

_o, _r, _q = officers.c, officer_roles.c, role_requests.c


def _alone_and_shared(query: Select[Any]) -> tuple[Select[Any], Select[Any]]:
    """Return a query by whether its rows are locked: built once, for it is asked with every group of orders."""
    return query, query.with_for_update(read=True)


_BOUND: Final = _alone_and_shared(
    select(
        officer_certificates.c.officer_id,
        certificates.c.state,
        certificates.c.not_before,
        certificates.c.not_after,
        certificates.c.der,
    )
    .join(certificates, certificates.c.serial == officer_certificates.c.serial)
    .where(certificates.c.der.is_not(None), officer_certificates.c.sha256 == bindparam("digest"))
)
_OFFICER: Final = _alone_and_shared(select(officers).where(_o.id == bindparam("id")))
_HELD: Final = _alone_and_shared(
    select(officer_roles).where(_r.officer_id == bindparam("id")).order_by(_r.realm_id, _r.role)
)
_REALM: Final = _alone_and_shared(select(realms).where(realms.c.id == bindparam("id")))
_TOPMOST: Final = _alone_and_shared(select(realms).where(realms.c.parent_id.is_(None)))


def _scope(row: Row[Any]) -> Scope:
    return Scope(professions=parse_names(row.professions), provinces=parse_names(row.provinces))


def _scope_columns(scope: Scope) -> dict[str, str | None]:
    return {"professions": names_text(scope.professions), "provinces": names_text(scope.provinces)}


# -- realms ---------------------------------------------------------------------------------------


def _realm(row: Row[Any]) -> Realm:
    return Realm(id=row.id, parent=row.parent_id, level=Level(row.level), name=row.name, scope=_scope(row))


def insert_realm(connection: Connection, realm: Realm) -> None:
    """Write a realm; Conflict when its id is taken."""
    values = {"id": realm.id, "parent_id": realm.parent, "level": realm.level.value, "name": realm.name}
    try:
        connection.execute(insert(realms).values(**values, **_scope_columns(realm.scope)))
    except IntegrityError as error:
        raise Conflict(ErrorCode.CONFLICT, "there is a realm of this id") from error


def all_realms(connection: Connection) -> tuple[Realm, ...]:
    """List the realms, by id."""
    return tuple(map(_realm, connection.execute(select(realms).order_by(realms.c.id))))


def chain_of(connection: Connection, realm_id: str | None, *, locked: bool = False) -> tuple[Realm, ...]:
    """Return a realm and those above it, lowest first; for None the topmost alone. NotFound."""
    own = _TOPMOST if realm_id is None else _REALM
    chain: list[Realm] = []
    row = connection.execute(own[locked], {"id": realm_id}).one_or_none()
    while row is not None and len(chain) < MAX_DEPTH:
        chain.append(_realm(row))
        row = connection.execute(_REALM[locked], {"id": row.parent_id}).one_or_none()
    if not chain:
        raise NotFound(ErrorCode.NOT_FOUND, "no such realm")
    return tuple(chain)


def realm_above(connection: Connection, realm_ids: Collection[str | None]) -> str | None:
    """Return the lowest realm in which all of these lie; None, the topmost, for none."""
    if not realm_ids or None in realm_ids:
        return None
    first, *others = ([realm.id for realm in chain_of(connection, realm_id)] for realm_id in realm_ids)
    return next((realm_id for realm_id in first if all(realm_id in other for other in others)), None)


# -- officers -------------------------------------------------------------------------------------


def insert_officer(connection: Connection, officer: OfficerRecord, by: str, at: datetime) -> None:
    """Write an officer without roles; Conflict when id or national code is taken."""
    try:
        connection.execute(
            insert(officers).values(
                id=officer.id,
                name=officer.name,
                national_code=officer.national_code,
                realm_id=officer.realm,
                state=officer.state.value,
                enrolled_by=by,
                enrolled_at=at,
            )
        )
    except IntegrityError as error:
        raise Conflict(ErrorCode.CONFLICT, "this officer is enrolled already") from error


def _officer(row: Row[Any], grants: tuple[Grant, ...]) -> OfficerRecord:
    return OfficerRecord(
        id=row.id,
        name=row.name,
        national_code=row.national_code,
        realm=row.realm_id,
        state=OfficerState(row.state),
        grants=grants,
    )


def _grant(row: Row[Any]) -> Grant:
    return Grant(role=Role(row.role), realm=row.realm_id, scope=_scope(row))


def find_officer(connection: Connection, officer_id: str, *, locked: bool = False) -> OfficerRecord | None:
    """Return an officer with the roles held now; None when nobody goes by this id."""
    row = connection.execute(_OFFICER[locked], {"id": officer_id}).one_or_none()
    if row is None:
        return None
    return _officer(row, tuple(map(_grant, connection.execute(_HELD[locked], {"id": officer_id}))))


def get_officer(connection: Connection, officer_id: str) -> OfficerRecord:
    """Return an officer; NotFound."""
    found = find_officer(connection, officer_id) if officer_id.isprintable() else None
    if found is None:
        raise NotFound(ErrorCode.NOT_FOUND, "no such officer")
    return found


def page_of_officers(connection: Connection, after: str = "", limit: int = MAX_PAGE) -> tuple[OfficerRecord, ...]:
    """List officers, by id."""
    query = select(officers).where(_o.id > after).order_by(_o.id).limit(min(max(limit, 1), MAX_PAGE))
    rows = connection.execute(query).all()
    held: dict[str, tuple[Grant, ...]] = {}
    roles = select(officer_roles).where(_r.officer_id.in_([row.id for row in rows])).order_by(_r.realm_id, _r.role)
    for role in connection.execute(roles) if rows else ():
        held[role.officer_id] = (*held.get(role.officer_id, ()), _grant(role))
    return tuple(_officer(row, held.get(row.id, ())) for row in rows)


def count_officers(connection: Connection) -> int:
    """Count the officers; nobody enrols another before the transaction ends."""
    take_turn(connection, officers)
    return connection.execute(select(func.count()).select_from(officers)).scalar_one()


def set_state(connection: Connection, officer_id: str, state: OfficerState) -> bool:
    """Change an officer's state; False when it is so already."""
    changed = connection.execute(
        update(officers).where(_o.id == officer_id, _o.state != state.value).values(state=state.value)
    )
    return changed.rowcount == 1


# -- certificates ---------------------------------------------------------------------------------


def bind(connection: Connection, officer_id: str, sha256: bytes, serial: str, by: str, at: datetime) -> None:
    """Bind a certificate to an officer; Conflict when it is bound already."""
    try:
        connection.execute(
            insert(officer_certificates).values(
                sha256=sha256, officer_id=officer_id, serial=serial, bound_by=by, bound_at=at
            )
        )
    except IntegrityError as error:
        raise Conflict(ErrorCode.CONFLICT, "this certificate is bound already") from error


def bound_certificate(connection: Connection, sha256: bytes, *, locked: bool = False) -> BoundCertificate | None:
    """Return the certificate that an officer is bound to by its digest."""
    row = connection.execute(_BOUND[locked], {"digest": sha256}).one_or_none()
    if row is None:
        return None
    return BoundCertificate(
        officer=row.officer_id, state=row.state, not_before=row.not_before, not_after=row.not_after, der=row.der
    )


# -- roles ----------------------------------------------------------------------------------------


def give(connection: Connection, officer_id: str, grant: Grant, at: datetime) -> None:
    """Give an officer a role; one that is held in the same realm is replaced."""
    take(connection, officer_id, grant.role, grant.realm)
    values = {"officer_id": officer_id, "role": grant.role.value, "realm_id": grant.realm, "granted_at": at}
    connection.execute(insert(officer_roles).values(**values, **_scope_columns(grant.scope)))


def take(connection: Connection, officer_id: str, role: Role, realm_id: str) -> bool:
    """Take a role away; False when it is not held."""
    held = (_r.officer_id == officer_id) & (_r.role == role.value) & (_r.realm_id == realm_id)
    return connection.execute(delete(officer_roles).where(held)).rowcount == 1


def insert_request(connection: Connection, request: RoleRequest) -> None:
    """Write a request for a role."""
    connection.execute(
        insert(role_requests).values(
            id=request.id,
            officer_id=request.officer,
            role=request.grant.role.value,
            realm_id=request.grant.realm,
            state=request.state.value,
            requested_by=request.requested_by,
            requested_at=request.requested_at,
            **_scope_columns(request.grant.scope),
        )
    )


def _request(row: Row[Any]) -> RoleRequest:
    return RoleRequest(
        id=row.id,
        officer=row.officer_id,
        grant=_grant(row),
        state=RequestState(row.state),
        requested_by=row.requested_by,
        requested_at=row.requested_at,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
    )


def get_request(connection: Connection, request_id: str) -> RoleRequest:
    """Return a request; NotFound."""
    known = request_id.isascii() and request_id.isalnum()
    row = connection.execute(select(role_requests).where(_q.id == request_id)).one_or_none() if known else None
    if row is None:
        raise NotFound(ErrorCode.NOT_FOUND, "no such request for a role")
    return _request(row)


def open_requests(connection: Connection) -> tuple[RoleRequest, ...]:
    """List what waits for a decision, oldest first."""
    query = select(role_requests).where(_q.state == RequestState.REQUESTED.value).order_by(_q.requested_at, _q.id)
    return tuple(map(_request, connection.execute(query.limit(MAX_PAGE))))


def decide(connection: Connection, request_id: str, state: RequestState, by: str, at: datetime) -> bool:
    """Decide a request; False when it is decided already."""
    waiting = (_q.id == request_id) & (_q.state == RequestState.REQUESTED.value)
    values = {"state": state.value, "decided_by": by, "decided_at": at}
    return connection.execute(update(role_requests).where(waiting).values(values)).rowcount == 1


# -- statements -----------------------------------------------------------------------------------


def use_statement(connection: Connection, digest: bytes, expires_at: datetime, now: datetime) -> bool:
    """Use a statement up; False when it was used before. Those that no gate would take any more are forgotten."""
    s = officer_statements.c
    connection.execute(delete(officer_statements).where(s.expires_at < now))
    try:
        with connection.begin_nested():
            connection.execute(insert(officer_statements).values(digest=digest, expires_at=expires_at))
    except IntegrityError:
        return False
    return True
