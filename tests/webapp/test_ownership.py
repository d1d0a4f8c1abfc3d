from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.webapp.test_deployment import SETTINGS
from webapp.atomic_files import write_atomically
from webapp.deployment import Deployment
from webapp.ownership import Place, places, settle
from webapp.system_users import Account, Accounts

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away"),
]

CUSTODIAN, SERVER, WORKER, LINTER, DATA = *(Account(4100 + n, 4200 + n) for n in range(1, 5)), 4205
ACCOUNTS = Accounts(custodian=CUSTODIAN, server=SERVER, worker=WORKER, linter=LINTER, data=DATA)
ROOT = Account(0, 0)


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    made = Deployment(tmp_path / "home")
    made.create_folders()
    made.pin_file.write_bytes(b"1234\n")
    made.custodian_config.write_bytes(b"{}")
    made.policy_file.write_bytes(b"{}")
    token = made.service_token / "tokens" / "7f3a"
    token.mkdir(parents=True)
    (token / "token.object").write_bytes(b"key")
    made.tls_key.write_bytes(b"key")
    made.database_file.write_bytes(b"rows")
    write_atomically(made.crl_file("persons", 0), b"list")
    made.registry.write_bytes(b"{}")
    with made.publishing():
        made.worker_state.write_bytes(b"{}")
    made.write_settings(SETTINGS)
    return made


def owner(path: Path) -> tuple[int, int, int]:
    status = path.lstat()
    return status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)


def test_everything_belongs_to_the_one_that_needs_it(deployment: Deployment) -> None:
    assert settle(places(deployment, ACCOUNTS)) > 0
    sockets = deployment.custodian_sockets
    assert {path.relative_to(deployment.home).as_posix(): owner(path) for path in (
        deployment.home, deployment.settings_file, deployment.root, deployment.pin_file, deployment.pin_file.parent,
        deployment.policy_file,
        deployment.service_token / "tokens" / "7f3a" / "token.object", deployment.service_token.parent,
        deployment.tls_key, deployment.secrets, deployment.database_file, deployment.database_file.parent,
        deployment.crl_file("persons", 0), deployment.public, deployment.registry, deployment.run,
        deployment.worker_state.parent, deployment.worker_state, deployment.publishing_lock,
        sockets, *(sockets / role for role in ("operator", "server", "worker")),
    )} == {
        ".": (*ROOT, 0o755),
        "mohr.toml": (*ROOT, 0o644),
        "root": (*ROOT, 0o700),
        "custodian": (*CUSTODIAN, 0o700),
        "custodian/service.pin": (*CUSTODIAN, 0o600),
        "custodian/policy.json": (0, CUSTODIAN.gid, 0o640),
        "tokens": (*CUSTODIAN, 0o700),
        "tokens/service/tokens/7f3a/token.object": (*CUSTODIAN, 0o600),
        "secrets": (*SERVER, 0o700),
        "secrets/tls.key": (*SERVER, 0o600),
        "data": (SERVER.uid, DATA, 0o2770),
        "data/mohr.db": (SERVER.uid, DATA, 0o660),
        "public": (WORKER.uid, DATA, 0o2755),
        "public/crl/persons/0.crl": (WORKER.uid, DATA, 0o644),
        "registry/centres.json": (0, DATA, 0o640),
        "run": (*ROOT, 0o755),
        "run/worker": (WORKER.uid, DATA, 0o2750),
        "run/worker/heartbeat.json": (WORKER.uid, DATA, 0o640),
        "run/worker/publishing.lock": (WORKER.uid, DATA, 0o600),
        "run/custodian": (*CUSTODIAN, 0o711),
        "run/custodian/operator": (*CUSTODIAN, 0o700),
        "run/custodian/server": (CUSTODIAN.uid, SERVER.gid, 0o2750),
        "run/custodian/worker": (CUSTODIAN.uid, WORKER.gid, 0o2750),
    }  # fmt: skip


def test_what_is_as_it_should_be_is_left_alone(deployment: Deployment) -> None:
    settle(places(deployment, ACCOUNTS))
    before = {path: path.lstat().st_ctime_ns for path in deployment.home.rglob("*")}
    assert settle(places(deployment, ACCOUNTS)) == 0
    assert {path: path.lstat().st_ctime_ns for path in deployment.home.rglob("*")} == before


def test_everything_can_be_given_back_to_one_user(deployment: Deployment) -> None:
    settle(places(deployment, ACCOUNTS))
    settle(places(deployment, Accounts(custodian=ROOT, server=ROOT, worker=ROOT, linter=ROOT, data=0)))
    assert {owner(path)[:2] for path in (deployment.home, *deployment.home.rglob("*"))} == {(0, 0)}


def test_links_of_a_service_give_it_nothing_outside_its_folder(deployment: Deployment, tmp_path: Path) -> None:
    victim, folder = tmp_path / "victim", tmp_path / "folder"
    victim.write_bytes(b"x")
    folder.mkdir(mode=0o700)
    (folder / "below").write_bytes(b"x")
    data = deployment.database_file.parent
    (data / "soft").symlink_to(victim)
    (data / "hard").hardlink_to(victim)
    (data / "folder").symlink_to(folder, target_is_directory=True)
    os.mkfifo(data / "pipe", 0o600)
    before = [owner(path) for path in (victim, folder, folder / "below", data / "pipe")]
    settle(places(deployment, ACCOUNTS))
    assert [owner(path) for path in (victim, folder, folder / "below", data / "pipe")] == before
    assert owner(deployment.database_file) == (SERVER.uid, DATA, 0o660)


def test_a_place_that_is_itself_a_link_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    assert settle([Place(tmp_path / "link", *SERVER, 0o777, whole=True)]) == 0
    assert owner(tmp_path / "real") == (*ROOT, 0o700)


def test_a_place_within_another_one_has_its_own_rule(tmp_path: Path) -> None:
    (tmp_path / "outer" / "inner").mkdir(parents=True)
    (tmp_path / "outer" / "inner" / "file").touch(mode=0o600)
    wanted = [
        Place(tmp_path / "outer", *SERVER, 0o700, whole=True),
        Place(tmp_path / "outer" / "inner", *WORKER, 0o750, 0o640, whole=True),
    ]
    assert settle(wanted) == 3
    assert settle(wanted) == 0
    assert owner(tmp_path / "outer" / "inner" / "file") == (*WORKER, 0o640)
