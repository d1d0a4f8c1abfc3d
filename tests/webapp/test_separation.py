from __future__ import annotations

import json
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from hsm.custodian.policy import load_policy, permissive, write_policy
from tests.support.deployment import SETTINGS
from tests.webapp.test_ownership import ACCOUNTS
from webapp import separation as module
from webapp.deployment import Deployment
from webapp.private_view import PrivateView, ViewRefused
from webapp.reach import closed_folders, obstacles
from webapp.separation import Separation, custodian_for_us, separate
from webapp.system_users import Accounts, UsersMissing, system_accounts


def _deployment(tmp_path: Path) -> Deployment:
    deployment = Deployment(tmp_path / "home")
    deployment.create_folders()
    return deployment


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """A root that may do everything, whose files everybody reaches, on a system that has the users."""
    monkeypatch.setattr("webapp.separation.os.geteuid", lambda: 0)
    monkeypatch.setattr(module, "_missing_capability", lambda: "")
    monkeypatch.setattr(module, "obstacles", lambda _wanted: iter(()))
    monkeypatch.setattr(module, "system_accounts", lambda: ACCOUNTS)
    monkeypatch.setattr(module, "settle", lambda _places: 0)


def test_root_separates(tmp_path: Path, as_root: None) -> None:
    separation = separate(_deployment(tmp_path))
    assert separation == Separation(ACCOUNTS)
    assert separation.lines == ("custodian, server and worker run as a system user each",)


def test_only_a_low_port_needs_a_right(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    separation, ports = Separation(ACCOUNTS), tmp_path / "ports"
    monkeypatch.setattr(module, "_OPEN_PORTS", ports)
    assert [run_as.low_ports for port in (80, 8440) if (run_as := separation.server(port))] == [True, False]
    ports.write_bytes(b"80\n")
    assert [run_as.low_ports for port in (79, 80) if (run_as := separation.server(port))] == [True, False]
    run_as = separation.custodian()
    assert run_as is not None
    assert not run_as.low_ports
    assert not run_as.all_groups
    assert Separation(ACCOUNTS, "why").server(80) is None


def test_whoever_is_not_root_is_told_what_the_separation_is_worth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.separation.os.geteuid", lambda: 4001)
    monkeypatch.setattr("webapp.separation.os.getegid", lambda: 4002)
    separation = separate(_deployment(tmp_path))
    assert separation.accounts.custodian == separation.accounts.server == separation.accounts.worker == (4001, 4002)
    assert "run as one user: their separation guards against mistakes only" in separation.lines[0]


def test_users_that_cannot_be_made_do_not_stop_anything(
    tmp_path: Path, as_root: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> Accounts:
        raise UsersMissing("this system has no useradd")

    monkeypatch.setattr(module, "system_accounts", refuse)
    assert "this system has no useradd" in separate(_deployment(tmp_path)).lines[0]


def test_files_that_cannot_be_given_away_stay_with_one_user(
    tmp_path: Path, as_root: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_places: object) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(module, "settle", refuse)
    separation = separate(_deployment(tmp_path))
    assert separation.accounts.custodian.uid == 0
    assert "Operation not permitted" in separation.lines[0]


def test_a_root_without_its_rights_is_no_root(tmp_path: Path, as_root: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_missing_capability", lambda: "setuid")
    assert "may not setuid" in separate(_deployment(tmp_path)).lines[0]


def test_a_folder_elsewhere_is_not_given_away(tmp_path: Path, as_root: None) -> None:
    deployment = _deployment(tmp_path)
    deployment.cache.rmdir()
    deployment.cache.symlink_to(tmp_path, target_is_directory=True)
    assert f"{deployment.cache} is a link" in separate(deployment).lines[0]


@pytest.fixture
def behind_a_door(as_root: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A root whose files nobody else reaches."""
    monkeypatch.setattr(module, "obstacles", lambda _wanted: iter(("other users cannot pass /closed",)))


def test_behind_a_closed_folder_the_services_get_a_view_of_their_own(
    tmp_path: Path, behind_a_door: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = PrivateView(*os.pipe(), (Path("/closed"),))
    monkeypatch.setattr(module, "make_view", lambda *_: view)
    separation = separate(_deployment(tmp_path))
    assert separation == Separation(ACCOUNTS, view=view)
    assert separation.lines == (
        "custodian, server and worker run as a system user each; below /closed they see their code and HOME alone",
    )
    for run_as in (separation.custodian(), separation.worker(), separation.server(8440)):
        assert run_as is not None
        assert run_as.entrance == view.entrance
    separation.close()
    for end in (view.namespace, view.root):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(end)


@pytest.mark.parametrize("lacking", ["users", "files", "a folder in place of a link"])
def test_a_view_that_serves_for_nothing_is_closed(
    tmp_path: Path, behind_a_door: None, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    def refuse(*_: object) -> Accounts:
        raise UsersMissing("this system has no useradd") if lacking == "users" else OSError(1, "not permitted")

    deployment = _deployment(tmp_path)
    if lacking == "users":
        monkeypatch.setattr(module, "system_accounts", refuse)
    elif lacking == "files":
        monkeypatch.setattr(module, "settle", refuse)
    else:
        deployment.cache.rmdir()
        deployment.cache.symlink_to(tmp_path, target_is_directory=True)
    ends = os.pipe()
    monkeypatch.setattr(module, "make_view", lambda *_: PrivateView(*ends, (Path("/closed"),)))
    separation = separate(deployment)
    assert (separation.view, separation.custodian()) == (None, None)
    for end in ends:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(end)


def test_where_no_view_can_be_made_everything_runs_as_one_user_and_the_line_says_why(
    tmp_path: Path, behind_a_door: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> PrivateView:
        raise ViewRefused("/closed: Operation not permitted")

    monkeypatch.setattr(module, "make_view", refuse)
    separation = separate(_deployment(tmp_path))
    assert separation.custodian() is None
    assert separation.obstacle == (
        "other users cannot pass /closed, and no private view helps: /closed: Operation not permitted"
    )


def test_paths_in_the_settings_are_found_wherever_they_stand(tmp_path: Path) -> None:
    deployment = _deployment(tmp_path)
    assert list(module._named_paths(deployment)) == []
    deployment.custodian_config.write_text(
        json.dumps(
            {
                "device": {"module": "/opt/m.so", "environment": {"P11": "unix:path=/run/a b,x=/run/c"}, "batch": 1},
                "pin": {"file": "../../pin"},
                "url": "https://bao.example:8200/v1",
                "more": ["/a home/with:colons", "zero\0"],
            }
        ),
        encoding="utf-8",
    )
    deployment.write_settings(replace(SETTINGS, database_url="sqlite:////data/db?key=/data/key"))
    found = {os.path.normpath(path) for path in module._named_paths(deployment)}
    assert found >= {
        "/opt/m.so",
        "/run/a",
        "/run/c",
        str(tmp_path / "pin"),
        "/a home/with:colons",
        "/data/db",
        "/data/key",
    }
    assert not found & {"/a", "/bao.example"}
    for content in (b"", b"[", b"\xff", b"7", b"[" * 60_000, b'{"module": "\\ud800"}'):
        deployment.custodian_config.write_bytes(content)
        assert Path("/data/key") in module._named_paths(deployment)


def test_the_folder_that_nobody_else_can_pass_is_named(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    inner = closed / "inner"
    inner.mkdir(parents=True)
    file = inner / "file"
    file.touch(mode=0o644)
    closed.chmod(0o755)
    assert f"other users cannot pass {closed}" not in list(obstacles([file]))
    closed.chmod(0o750)
    assert f"other users cannot pass {closed}" in list(obstacles([file]))


def test_of_closed_folders_the_outermost_counts(tmp_path: Path) -> None:
    outer, link = tmp_path / "open" / "outer", tmp_path / "link"
    inner = outer / "middle" / "inner"
    inner.mkdir(parents=True)
    link.symlink_to(inner)
    for folder in (tmp_path, outer.parent, outer.parent.parent, inner.parent):
        folder.chmod(0o755)
    for folder in (outer, inner):
        folder.chmod(0o700)
    above = closed_folders([tmp_path / "x"])
    expected = above or (outer,)
    assert closed_folders([inner / "x", link / "y"]) == expected
    assert closed_folders([Path("/usr"), Path("/")]) == ()


def test_a_file_behind_a_link_must_be_reached_as_well(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "python").touch(mode=0o755)
    (tmp_path / "python").symlink_to(closed / "python")
    assert f"other users cannot pass {closed}" in list(obstacles([tmp_path / "python"]))


def test_a_file_that_others_cannot_read_is_named(tmp_path: Path) -> None:
    file = tmp_path / "code.py"
    file.touch(mode=0o600)
    assert f"other users cannot read {file}" in list(obstacles([file]))


def test_the_running_interpreter_and_every_room_are_looked_at() -> None:
    wanted = {path.as_posix() for path in module._needed_files()}
    assert sys.executable in wanted
    assert {Path(path).parent.name for path in wanted} >= {"pki", "hsm", "webapp", "flask"}


@pytest.mark.real
@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes users")
def test_the_system_users_are_made_once_and_found_again() -> None:
    try:
        first = system_accounts()
    except UsersMissing as error:
        pytest.skip(f"this system makes no users: {error}")
    assert system_accounts() == first
    assert len({first.custodian.uid, first.server.uid, first.worker.uid, 0}) == 4
    assert len({first.custodian.gid, first.server.gid, first.worker.gid, first.data, 0}) == 5


def test_the_policy_names_the_users_that_there_are_and_keeps_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_missing_capability", lambda: "setuid")
    deployment = _deployment(tmp_path)
    before = permissive({77}, ("server", "worker", "operator", "auditor"))
    write_policy(before, deployment.policy_file)
    separation = separate(deployment)
    policy = load_policy(deployment.policy_file)
    us = os.geteuid()
    users = {"server": us, "worker": us, "operator": us, "auditor": 77}
    assert policy == replace(
        before, roles={name: replace(before.roles[name], uids=frozenset({uid})) for name, uid in users.items()}
    )
    assert separation.lines[1:] == (
        f"the custodian's policy names them anew, by user id: server {us}, worker {us}, operator {us}",
    )
    stamp = deployment.policy_file.stat().st_mtime_ns
    assert len(separate(deployment).lines) == 1
    assert deployment.policy_file.stat().st_mtime_ns == stamp


def test_each_role_has_the_user_of_its_part(as_root: None) -> None:
    assert Separation(ACCOUNTS).users == {"server": ACCOUNTS.server.uid, "worker": ACCOUNTS.worker.uid, "operator": 0}


def test_a_policy_that_cannot_be_read_is_left_for_the_custodian_to_refuse(tmp_path: Path, as_root: None) -> None:
    deployment = _deployment(tmp_path)
    deployment.policy_file.write_bytes(b"{}")
    assert separate(deployment).lines == Separation(ACCOUNTS).lines
    assert deployment.policy_file.read_bytes() == b"{}"


def test_a_home_that_was_put_together_by_hand_is_settled_before_its_custodian_runs(
    tmp_path: Path, as_root: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = _deployment(tmp_path)
    order: list[str] = []
    monkeypatch.setattr(module, "_owner", lambda _path: ACCOUNTS.custodian.uid)
    monkeypatch.setattr(module, "settle", lambda _places: order.append("settled"))

    def start(*_arguments: object, **_options: object) -> AbstractContextManager[None]:
        order.append("started")
        return nullcontext()

    monkeypatch.setattr(module, "CustodianProcess", start)
    with custodian_for_us(deployment):
        assert order == ["settled", "started"]
