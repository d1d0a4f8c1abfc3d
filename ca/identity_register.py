"""Which identity schemes a deployment has issued by: recorded once, and what an identifier meant, it means for ever."""

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Connection, insert, select

from ca.context import event
from ca.identity_tables import identity_versions
from ca.tables import certificates
from pki.audit import AuditAction
from pki.clock import Clock
from pki.identity_file import IdentitiesInvalid, pilot_identities, scheme_body
from pki.identity_scheme import IdentityScheme
from storage.engine import Database
from storage.unit_of_work import take_turn

_SECTIONS: Final = ("professions", "institutions", "technical_roles")
# What Admission says: certificates of one card say the same of their holder, however far apart they are issued.
_SAID: Final = ("number", "oid", "title_fa", "admission_authority")
_v = identity_versions.c


def _roles(body: bytes) -> Iterator[tuple[str, str, dict[str, Any]]]:
    members = json.loads(body)
    for section in _SECTIONS:
        for slug, role in members[section].items():
            yield section, slug, role


def _check_meanings(body: bytes, earlier: bytes) -> None:
    """Hold two schemes against each other: certificates of the earlier one are read by the later one."""
    recorded: dict[tuple[str, str], dict[str, Any]] = {}
    taken: dict[tuple[object, ...], tuple[str, str]] = {}
    for section, slug, role in _roles(earlier):
        recorded[section, slug] = role
        taken |= dict.fromkeys(_identifiers(section, role).values(), (section, slug))
    for section, slug, role in _roles(body):
        before = recorded.get((section, slug), role)
        for member in _SAID:
            if role.get(member) != before.get(member):
                rule = "stays as it was adopted, because certificates say it: another is another name and number"
                raise IdentitiesInvalid(f"{section}.{slug}.{member}", rule)
        for member, identifier in _identifiers(section, role).items():
            if taken.get(identifier, (section, slug)) != (section, slug):
                raise IdentitiesInvalid(
                    f"{section}.{slug}.{member}", "was adopted for another: retire that one instead"
                )


def _identifiers(section: str, role: dict[str, Any]) -> dict[str, tuple[object, ...]]:
    """Return what no other role may have, by member; numbers of technical roles end another arc."""
    found: dict[str, tuple[object, ...]] = {"number": (section == "technical_roles", role["number"])}
    return found | ({"oid": (role["oid"],)} if "oid" in role else {})


def _is_new(connection: Connection, scheme: IdentityScheme, body: bytes) -> bool:
    """Tell whether a scheme is yet to be recorded; IdentitiesInvalid where it contradicts what is."""
    statement = select(_v.sha256).where(_v.name == scheme.name, _v.version == scheme.version)
    recorded = connection.execute(statement).scalar_one_or_none()
    if recorded == sha256(body).digest():
        return False
    if recorded is not None:
        rule = f"rises when the scheme changes: {scheme.version} was adopted with other members"
        raise IdentitiesInvalid("version", rule)
    for earlier in connection.execute(select(_v.body)).scalars().all() or _unrecorded(connection):
        _check_meanings(body, earlier)
    return True


def _unrecorded(connection: Connection) -> tuple[bytes, ...]:
    """Return what a deployment issued by before schemes were recorded: the pilot's; nothing where it issued nothing."""
    issued = select(certificates.c.id).where(certificates.c.file_id.is_not(None)).limit(1)
    return () if connection.execute(issued).first() is None else (scheme_body(pilot_identities()),)


class IdentityRegister:
    """The recorded identity schemes of one deployment."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """Take the database that certificates are recorded in."""
        self._database, self._clock = database, clock

    def check(self, scheme: IdentityScheme) -> bool:
        """Tell whether `adopt` would record the scheme; IdentitiesInvalid as there."""
        with self._database.read() as connection:
            return _is_new(connection, scheme, scheme_body(scheme))

    def adopt(self, scheme: IdentityScheme, actor: str) -> bool:
        """Record a scheme that is new, with an event, and tell whether it was.

        IdentitiesInvalid where its version was adopted with other members, or an identifier means something else.
        """
        if not self.check(scheme):
            return False
        now, body = self._clock.now(), scheme_body(scheme)
        digest = sha256(body).digest()
        with self._database.begin() as unit:
            take_turn(unit.connection, identity_versions)  # another server may start by the same scheme
            if not _is_new(unit.connection, scheme, body):
                return False
            row = {"name": scheme.name, "version": scheme.version, "sha256": digest, "body": body}
            unit.connection.execute(insert(identity_versions).values(**row, adopted_at=now, adopted_by=actor))
            version, adopted = scheme.version, AuditAction.IDENTITIES_ADOPTED
            unit.audit.record(event(adopted, now, actor, scheme.name, version=version, sha256=digest.hex()))
        return True
