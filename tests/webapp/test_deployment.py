from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki.errors import Conflict, ErrorCode, InvalidInput, NotFound, ServiceError
from storage.engine import open_database
from storage.migrate import upgrade
from webapp.atomic_files import publish_file, write_atomically
from webapp.certificate_settings import CertificateSettings
from webapp.commands.init import exchange_url_beside
from webapp.compose import authority_settings
from webapp.deployment import Deployment
from webapp.deployment_settings import DeploymentSettings

SETTINGS = DeploymentSettings(
    public_url="http://127.0.0.1:8440",
    exchange_url="https://127.0.0.1:8441",
    organization='مرکز «آزمایشی» "x" \\ y',
    oid_arc="1.3.6.1.4.1.32473.364",
    database_url=None,
    production=False,
)


@pytest.mark.parametrize("database_url", [None, "postgresql://mohr@/mohr"])
def test_settings_are_read_back_as_written(tmp_path: Path, database_url: str | None) -> None:
    deployment = Deployment(tmp_path)
    settings = dataclasses.replace(SETTINGS, database_url=database_url)
    deployment.write_settings(settings)
    assert deployment.exists()
    assert deployment.settings() == settings
    assert deployment.database_url(settings).startswith("postgresql" if database_url else "sqlite:///")


@pytest.mark.parametrize("name", ["plain", "what?", "50%41", "a b", "مهر", "x#y@z"])
def test_the_database_is_in_the_deployment_whatever_its_folder_is_called(tmp_path: Path, name: str) -> None:
    deployment = Deployment(tmp_path / name)
    deployment.create_folders()
    database = open_database(deployment.database_url(SETTINGS))
    upgrade(database)
    database.close()
    assert deployment.database_file.is_file()
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_no_deployment_and_a_finished_one_are_told_apart(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path / "home")
    with pytest.raises(NotFound) as missing:
        deployment.settings()
    assert missing.value.code is ErrorCode.DEPLOYMENT_MISSING
    deployment.create_folders()
    assert (deployment.secrets.stat().st_mode & 0o777) == 0o700
    deployment.write_settings(SETTINGS)
    with pytest.raises(Conflict) as there:
        deployment.create_folders()
    assert there.value.code is ErrorCode.DEPLOYMENT_EXISTS


@given(st.binary(max_size=200))
def test_broken_settings_never_raise_anything_but_ours(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("home")
    (folder / "mohr.toml").write_bytes(data)
    with pytest.raises(ServiceError):
        Deployment(folder).settings()


def test_settings_that_cannot_be_read_say_where(tmp_path: Path) -> None:
    for damaged, told in ((b"[[[", "line 1"), (b"a = " + b"[" * 30_000, "recursion"), (b"\xff", "0xff")):
        (tmp_path / "mohr.toml").write_bytes(damaged)
        with pytest.raises(InvalidInput, match=told):
            Deployment(tmp_path).settings()


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http://x/", "x", "http://x?y=1", "", "http://x:y"])
def test_public_urls_that_cannot_be_baked_into_certificates_are_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        DeploymentSettings(
            public_url=url,
            exchange_url=exchange_url_beside(url),
            organization="x",
            oid_arc="1.3",
            database_url=None,
            production=False,
        )


@pytest.mark.parametrize(
    ("public", "exchange"),
    [
        ("http://127.0.0.1:8440", "https://127.0.0.1:8441"),
        ("https://mohr.example", "https://mohr.example:444"),
        ("http://[::1]:80", "https://[::1]:81"),
    ],
)
def test_the_exchange_answers_on_the_next_port(public: str, exchange: str) -> None:
    assert exchange_url_beside(public) == exchange


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    write_atomically(path, b"one", mode=0o600)
    write_atomically(path, b"two", mode=0o600)
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


@pytest.mark.real
@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files in others' folders")
def test_what_root_makes_in_a_services_folder_belongs_to_the_service(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    for folder in (deployment.public, deployment.worker_state.parent):
        folder.mkdir(parents=True)
        os.chown(folder, 4001, 4002)
        folder.chmod(0o2755)
    before = os.umask(0o077)
    try:
        write_atomically(deployment.crl_file("persons", 0), b"list")
        with deployment.publishing():
            pass
    finally:
        os.umask(before)
    lists = deployment.crl_file("persons", 0).parent
    made = {
        path: path.stat() for path in (lists.parent, lists, lists / "0.crl", *deployment.worker_state.parent.iterdir())
    }
    assert {(status.st_uid, status.st_gid) for status in made.values()} == {(4001, 4002)}
    assert made[lists].st_mode & 0o7777 == 0o2755
    assert made[lists / "0.crl"].st_mode & 0o777 == 0o644


def test_what_is_published_can_be_read_by_any_web_server_whatever_the_umask(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path / "home")
    before = os.umask(0o077)
    try:
        deployment.create_folders()
        deployment.publish_certificate("persons", b"certificate")
        publish_file(deployment.crl_file("persons", 0), b"list")
        write_atomically(deployment.registry, b"{}")
    finally:
        os.umask(before)
    made = {path: path.stat().st_mode & 0o777 for path in (deployment.public, *deployment.public.rglob("*"))}
    assert {path.name: mode for path, mode in made.items()} == {
        **dict.fromkeys(("public", "ca", "crl", "persons"), 0o755),
        **dict.fromkeys(("persons.cer", "0.crl"), 0o644),
    }
    assert {path.stat().st_mode & 0o077 for path in (deployment.home, deployment.registry)} == {0}


def test_a_link_in_the_place_of_a_lock_or_a_part_is_not_followed(tmp_path: Path) -> None:
    deployment, victim = Deployment(tmp_path), tmp_path / "victim"
    victim.write_bytes(b"precious")
    lock = deployment.publishing_lock
    lock.parent.mkdir(parents=True)
    lock.symlink_to(victim)
    with pytest.raises(ServiceError) as caught, deployment.publishing():
        pass
    assert caught.value.code is ErrorCode.FILE_UNWRITABLE
    (tmp_path / f".list.{os.getpid()}").symlink_to(victim)
    write_atomically(tmp_path / "list", b"new")
    assert victim.read_bytes() == b"precious"
    assert (tmp_path / "list").read_bytes() == b"new"


def test_what_certificates_say_is_read_back_and_reaches_the_authority(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    wish = CertificateSettings(
        person_serial="opaque", admission_authority="سازمان نظام پزشکی", policy_notice="داخلی", backdate_seconds=60
    )
    deployment.write_settings(dataclasses.replace(SETTINGS, certificates=wish))
    assert deployment.settings().certificates == wish
    found = authority_settings(deployment.settings())
    assert (found.person_serial, found.admission_authority) == ("opaque", "سازمان نظام پزشکی")
    assert (found.policy_notice, found.backdate.total_seconds()) == ("داخلی", 60)
    assert authority_settings(SETTINGS).backdate.total_seconds() == 300


@pytest.mark.parametrize(
    "line",
    [
        "certificates = 1",
        "certificates.notice = 'x'",
        "certificates.policy_notice = 1",
        "certificates.backdate_seconds = '60'",
        "certificates.backdate_seconds = true",
    ],
)
def test_a_wrong_table_about_certificates_is_refused_by_member(tmp_path: Path, line: str) -> None:
    deployment = Deployment(tmp_path)
    deployment.write_settings(SETTINGS)
    deployment.settings_file.write_text(deployment.settings_file.read_text(encoding="utf-8") + line, encoding="utf-8")
    with pytest.raises(InvalidInput, match="certificates") as caught:
        deployment.settings()
    assert caught.value.code is ErrorCode.INPUT_MALFORMED
