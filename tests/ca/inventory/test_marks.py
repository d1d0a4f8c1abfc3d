"""Certificates carry what they are found by: from their files when issued, from older files by the migration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import select, text

from ca.tables import certificates
from pki.jose import canonical_json
from storage.engine import Database, open_database
from storage.migrate import upgrade
from tests.ca.world import CENTRE, CITIZEN, CLINICIAN, World
from tests.storage import postgres

_MARKS = ("licence", "profession", "province", "siam_id")
_CLINICIANS = ("12345", "physician", None, None)
_CENTRES = (None, None, "تهران", "c-1001")
_NOTHING = (None, None, None, None)


def marks_of(database: Database, serial: str) -> tuple[Any, ...]:
    columns = [certificates.c[name] for name in _MARKS]
    with database.read() as connection:
        return tuple(connection.execute(select(*columns).where(certificates.c.serial == serial)).one())


@pytest.mark.parametrize(
    ("profile", "marks"),
    [("clin-sign", _CLINICIANS), ("cit-auth", _NOTHING), ("hix-tls", _CENTRES), ("tls-server", _NOTHING)],
)
def test_a_certificate_is_found_by_what_its_file_says(profile: str, marks: tuple[Any, ...], world: World) -> None:
    assert marks_of(world.database, world.issue(profile).serial_hex) == marks


def upgrade_to(database: Database, revision: str) -> None:
    with database.begin() as unit:
        config = Config(attributes={"connection": unit.connection})
        config.set_main_option("script_location", "storage:migrations")
        command.upgrade(config, revision)


def insert_old_rows(database: Database, bodies: dict[str, dict[str, Any]]) -> None:
    """Write files, each with one certificate of its own number, in the schema before the inventory's."""
    at = "2026-11-22 09:00:00.000000"
    with database.begin() as unit:
        for number, (file_id, members) in enumerate(bodies.items()):
            unit.connection.execute(
                text(
                    "INSERT INTO registration_files (id, kind, state, holder, name, body, submitted_by, submitted_at, "
                    "approvals) VALUES (:id, 'any', 'approved', 'h', 'n', :body, 'clerk', :at, 2)"
                ),
                {"id": file_id, "body": canonical_json(members), "at": at},
            )
            unit.connection.execute(
                text(
                    "INSERT INTO certificates (serial, issuer, profile, file_id, holder, name, state, status_version, "
                    "shard, unapproved, spki_sha256, tbs_sha256, not_before, not_after, requested_by, intended_at) "
                    "VALUES (:serial, 'persons', 'clin-sign', :file, 'h', 'n', 'good', 1, 0, :no, :digest, :digest, "
                    ":at, :at, 'clerk', :at)"
                ),
                {"serial": f"{number:02x}", "file": file_id, "digest": b"", "at": at, "no": False},
            )


def check_old_rows(url: str) -> None:
    database = open_database(url)
    try:
        upgrade_to(database, "0008")
        many = {f"m{number:04}": CITIZEN for number in range(1100)}
        insert_old_rows(database, {"a": CLINICIAN, "b": CENTRE, "c": CITIZEN, **many, "z": CENTRE})
        upgrade(database)
        found = [marks_of(database, f"{number:02x}") for number in (0, 1, 2, 1103)]
        assert found == [_CLINICIANS, _CENTRES, _NOTHING, _CENTRES]
    finally:
        database.close()


def test_certificates_of_before_get_what_their_files_say_on_sqlite(tmp_path: Path) -> None:
    check_old_rows(f"sqlite:///{tmp_path / 'old.db'}")


@pytest.mark.real
def test_certificates_of_before_get_what_their_files_say_on_postgresql() -> None:
    programs = postgres.find_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed, or refuses this user")
    with postgres.running_server(programs) as folder:
        postgres.execute(folder, "CREATE DATABASE old")
        check_old_rows(postgres.url_of(folder, "old"))
