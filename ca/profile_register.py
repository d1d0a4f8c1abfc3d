"""Which versions of which profiles a deployment has issued by: recorded once, with their bodies, and then fixed."""

from collections.abc import Mapping
from hashlib import sha256

from sqlalchemy import Connection, insert, select

from ca.context import event
from ca.errors import ProfileInvalid
from ca.profile_file import profile_body
from ca.profile_tables import profile_versions
from ca.profiles import CertificateProfile, ProfileSet
from pki.audit import AuditAction
from pki.clock import Clock
from storage.engine import Database
from storage.unit_of_work import take_turn

Version = tuple[str, int]
_v = profile_versions.c


def _version(profile: CertificateProfile) -> Version:
    return str(profile.name), profile.version


def _known(connection: Connection, profiles: ProfileSet) -> dict[Version, bytes]:
    names = [str(profile.name) for profile in profiles]
    rows = connection.execute(select(_v.name, _v.version, _v.sha256).where(_v.name.in_(names)))
    return {(row.name, row.version): row.sha256 for row in rows}


def _new_ones(profiles: ProfileSet, known: Mapping[Version, bytes]) -> list[CertificateProfile]:
    """Return what is not recorded yet; ProfileInvalid where a recorded version now says something else."""
    found = []
    for profile in profiles:
        recorded = known.get(_version(profile))
        if recorded is None:
            found.append(profile)
        elif recorded != sha256(profile_body(profile)).digest():
            rule = f"rises when the profile changes: {profile.version} was adopted with other members"
            raise ProfileInvalid(f"profiles.{profile.name}.version", rule)
    return found


class ProfileRegister:
    """The recorded versions of one deployment."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """Take the database that certificates are recorded in."""
        self._database, self._clock = database, clock

    def check(self, profiles: ProfileSet) -> tuple[CertificateProfile, ...]:
        """Return what `adopt` would record; ProfileInvalid as there."""
        with self._database.read() as connection:
            return tuple(_new_ones(profiles, _known(connection, profiles)))

    def adopt(self, profiles: ProfileSet, actor: str) -> tuple[CertificateProfile, ...]:
        """Record the versions that are new, an event each, and return them.

        ProfileInvalid where a version that was adopted before now says something else: its number must rise.
        """
        if not self.check(profiles):
            return ()
        now = self._clock.now()
        with self._database.begin() as unit:
            take_turn(unit.connection, profile_versions)  # another server may start by the same set
            new = _new_ones(profiles, _known(unit.connection, profiles))
            for profile in new:
                body = profile_body(profile)
                digest = sha256(body).digest()
                name, version = _version(profile)
                row = {"name": name, "version": version, "sha256": digest, "body": body}
                unit.connection.execute(insert(profile_versions).values(**row, adopted_at=now, adopted_by=actor))
                unit.audit.record(
                    event(AuditAction.PROFILE_ADOPTED, now, actor, name, version=version, sha256=digest.hex())
                )
        return tuple(new)
