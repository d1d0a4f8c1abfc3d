"""Rows of connection tokens in and out; what comes out are values, never rows."""

import hashlib
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Table, bindparam, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ca.registration import KeyStorage
from ca.status.revocation import CertificateState
from ca.tables import certificates
from ca.tokens.life_cycle import BoundCertificate, ConnectionToken, Hold, TokenKind, TokenState
from ca.tokens.lights import Answer, Light, LightKind
from ca.tokens.standing import CertificateStanding, Standing
from ca.tokens.tables import (
    assertion_jtis,
    connection_light_changes,
    connection_lights,
    connection_tokens,
    denied_tokens,
)
from pki.errors import ErrorCode, NotFound
from pki.identity import SiamId


def _token(row: Row[Any]) -> ConnectionToken:
    hold = None
    if row.held_by is not None:
        hold = Hold(by=row.held_by, at=row.held_at, reason=row.hold_reason)
    certificate = None
    if row.certificate_serial is not None:
        certificate = BoundCertificate(
            serial=row.certificate_serial,
            sha256=row.certificate_sha256,
            not_after=row.certificate_not_after,
            key_id=row.key_id,
            spki=row.spki,
        )
    return ConnectionToken(
        id=row.id,
        kind=TokenKind(row.kind),
        siam_id=SiamId(row.siam_id),
        system_id=row.system_id,
        medium=KeyStorage(row.medium),
        state=TokenState(row.state),
        requested_by=row.requested_by,
        requested_at=row.requested_at,
        changed_at=row.changed_at,
        hold=hold,
        certificate=certificate,
    )


def _columns(token: ConnectionToken) -> dict[str, object]:
    hold, certificate = token.hold, token.certificate
    return {
        "id": token.id,
        "kind": str(token.kind),
        "siam_id": token.siam_id,
        "system_id": token.system_id,
        "medium": str(token.medium),
        "state": str(token.state),
        "requested_by": token.requested_by,
        "requested_at": token.requested_at,
        "changed_at": token.changed_at,
        "held_by": hold.by if hold else None,
        "held_at": hold.at if hold else None,
        "hold_reason": hold.reason if hold else None,
        "certificate_serial": certificate.serial if certificate else None,
        "certificate_sha256": certificate.sha256 if certificate else None,
        "certificate_not_after": certificate.not_after if certificate else None,
        "key_id": certificate.key_id if certificate else None,
        "spki": certificate.spki if certificate else None,
    }


def add_token(connection: Connection, token: ConnectionToken) -> None:
    """Insert a new token."""
    connection.execute(insert(connection_tokens).values(_columns(token)))


def save_token(connection: Connection, token: ConnectionToken) -> None:
    """Write every column of a token that was locked in this transaction."""
    connection.execute(update(connection_tokens).where(connection_tokens.c.id == token.id).values(_columns(token)))


def find_token(connection: Connection, token_id: str) -> ConnectionToken | None:
    """Return a token, or None."""
    return _one(connection, connection_tokens.c.id == token_id) if _is_id(token_id) else None


def get_token(connection: Connection, token_id: str) -> ConnectionToken:
    """Return a token; NotFound."""
    return _there(find_token(connection, token_id))


def lock_token(connection: Connection, token_id: str) -> ConnectionToken:
    """Return a token that nobody else may change before this transaction ends; NotFound."""
    query = select(connection_tokens).where(connection_tokens.c.id == token_id).with_for_update()
    row = connection.execute(query).one_or_none() if _is_id(token_id) else None
    return _there(None if row is None else _token(row))


def _is_id(token_id: str) -> bool:
    """Whether this can be an id at all; not every text can be asked for in a database."""
    return token_id.isascii() and token_id.isalnum()


def _there(token: ConnectionToken | None) -> ConnectionToken:
    if token is None:
        raise NotFound(ErrorCode.NOT_FOUND, "no such connection token")
    return token


def find_by_certificate(connection: Connection, sha256: bytes) -> ConnectionToken | None:
    """Return the token bound to the certificate with this digest, or None."""
    return _one(connection, connection_tokens.c.certificate_sha256 == sha256)


def find_by_key(connection: Connection, key_id: str) -> ConnectionToken | None:
    """Return the token bound to the key with this thumbprint, or None."""
    return _one(connection, connection_tokens.c.key_id == key_id)


def _one(connection: Connection, where: ColumnElement[bool]) -> ConnectionToken | None:
    row = connection.execute(select(connection_tokens).where(where)).one_or_none()
    return None if row is None else _token(row)


def list_tokens(
    connection: Connection, states: Collection[TokenState], *, after: str = "", limit: int = 1000
) -> tuple[ConnectionToken, ...]:
    """Return up to `limit` tokens in these states, by id, beginning after the id `after`."""
    table = connection_tokens
    query = select(table).where(table.c.state.in_([str(state) for state in states]), table.c.id > after)
    return tuple(map(_token, connection.execute(query.order_by(table.c.id).limit(limit))))


def _light(row: Row[Any]) -> Light:
    return Light(
        kind=LightKind(row.light_kind),
        state=Answer(row.light_state),
        since=row.since,
        last_answer=None if row.last_answer is None else Answer(row.last_answer),
        last_answer_at=row.last_answer_at,
        source=row.source,
        reference=row.reference,
        valid_until=row.valid_until,
    )


def _selected(table: Table) -> list[ColumnElement[Any]]:
    """The columns of a light, those named apart that a token has too."""
    c = table.c
    same = (c.since, c.last_answer, c.last_answer_at, c.source, c.reference, c.valid_until)
    return [c.kind.label("light_kind"), c.state.label("light_state"), *same]


def _light_columns(token_id: str, light: Light) -> dict[str, object]:
    return {
        "token_id": token_id,
        "kind": str(light.kind),
        "state": str(light.state),
        "since": light.since,
        "last_answer": None if light.last_answer is None else str(light.last_answer),
        "last_answer_at": light.last_answer_at,
        "source": light.source,
        "reference": light.reference,
        "valid_until": light.valid_until,
    }


def lights_of(connection: Connection, token_ids: Sequence[str]) -> dict[str, dict[LightKind, Light]]:
    """Return the lights of tokens as they stand, by token id."""
    found: dict[str, dict[LightKind, Light]] = {token_id: {} for token_id in token_ids}
    table = connection_lights
    rows = connection.execute(select(table.c.token_id, *_selected(table)).where(table.c.token_id.in_(token_ids)))
    for row in rows:
        light = _light(row)
        found[row.token_id][light.kind] = light
    return found


def light_changes_of(connection: Connection, token_id: str) -> tuple[Light, ...]:
    """Return every change of a token's lights, oldest first."""
    table = connection_light_changes
    rows = connection.execute(select(*_selected(table)).where(table.c.token_id == token_id).order_by(table.c.id))
    return tuple(map(_light, rows))


# Asked for each access token: one statement, built once.
_STANDING: Final = (
    select(
        connection_tokens,
        certificates.c.state.label("certificate_state"),
        certificates.c.not_before,
        certificates.c.not_after,
        *_selected(connection_lights),
    )
    .select_from(
        connection_tokens.outerjoin(
            certificates, certificates.c.serial == connection_tokens.c.certificate_serial
        ).outerjoin(connection_lights, connection_lights.c.token_id == connection_tokens.c.id)
    )
    .where(connection_tokens.c.id == bindparam("token_id"))
)


def standing_of(connection: Connection, token_id: str) -> Standing:
    """Return a token with its lights and the status of its certificate; NotFound."""
    rows = connection.execute(_STANDING, {"token_id": token_id}).all() if _is_id(token_id) else []
    token = _there(_token(rows[0]) if rows else None)
    certificate = None
    if rows[0].certificate_state is not None:
        certificate = CertificateStanding(
            state=CertificateState(rows[0].certificate_state),
            not_before=rows[0].not_before,
            not_after=rows[0].not_after,
        )
    lights = {light.kind: light for light in (_light(row) for row in rows if row.light_kind is not None)}
    return Standing(token=token, lights=lights, certificate=certificate)


def save_light(connection: Connection, token_id: str, light: Light) -> None:
    """Write how a light stands; the age of its answer alone is no change."""
    columns = _light_columns(token_id, light)
    upsert = _insert(connection, connection_lights).values(columns)
    changed = {name: value for name, value in columns.items() if name not in ("token_id", "kind")}
    connection.execute(upsert.on_conflict_do_update(index_elements=["token_id", "kind"], set_=changed))


def add_light_change(connection: Connection, token_id: str, light: Light, now: datetime) -> None:
    """Append a change of a light to its history."""
    columns = _light_columns(token_id, light) | {"recorded_at": now}
    connection.execute(insert(connection_light_changes).values(columns))


_USE_ASSERTION: Final = {
    "sqlite": sqlite.insert(assertion_jtis).on_conflict_do_nothing().returning(assertion_jtis.c.expires_at),
    "postgresql": postgresql.insert(assertion_jtis).on_conflict_do_nothing().returning(assertion_jtis.c.expires_at),
}


def use_assertion(connection: Connection, client_id: str, jti: str, expires_at: datetime) -> bool:
    """Mark a client's `jti` as used; False when it was used before. One statement: no race between nodes."""
    digest = hashlib.sha256(client_id.encode() + b"\0" + jti.encode()).digest()
    statement = _USE_ASSERTION[connection.dialect.name]
    return connection.execute(statement, {"digest": digest, "expires_at": expires_at}).one_or_none() is not None


def deny_token(connection: Connection, jti: str, expires_at: datetime) -> None:
    """Deny an access token by its id until it expires."""
    statement = _insert(connection, denied_tokens).values(jti=jti, expires_at=expires_at)
    connection.execute(statement.on_conflict_do_nothing())


def is_denied(connection: Connection, jti: str) -> bool:
    """Whether an access token was denied."""
    query = select(denied_tokens.c.jti).where(denied_tokens.c.jti == jti)
    return connection.execute(query).one_or_none() is not None


_EXPIRING: Final = (assertion_jtis, denied_tokens)


def has_expired(connection: Connection, before: datetime) -> bool:
    """Whether there are assertions or denied tokens that expired before an instant."""
    return any(
        connection.execute(select(table.c.expires_at).where(table.c.expires_at < before).limit(1)).first()
        for table in _EXPIRING
    )


def purge_expired(connection: Connection, before: datetime) -> None:
    """Forget assertions and denied tokens that expired before an instant."""
    for table in _EXPIRING:
        connection.execute(delete(table).where(table.c.expires_at < before))


def _insert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)
