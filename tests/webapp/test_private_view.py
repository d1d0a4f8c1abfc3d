from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.descriptors import open_descriptors
from tests.support.programs import REPOSITORY
from tests.support.separated import open_folder, refusal_of_views
from webapp import private_view as module
from webapp.private_view import PrivateView, ViewRefused, make_view

pytestmark = [pytest.mark.real, pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a private view")]

NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--")
WITHOUT_RIGHT = ("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", "--")
CODE = [Path(sys.prefix), Path(sys.base_prefix), REPOSITORY / "webapp", REPOSITORY / "hsm"]


@pytest.fixture
def closed() -> Iterator[Path]:
    """A closed folder with code, a HOME and what is nobody's business, all of it open by its own modes."""
    with open_folder() as folder:
        for name in ("code/inner", "home/deep", "secrets"):
            (folder / name).mkdir(parents=True)
        for name in ("code/inner/code.py", "home/deep/file", "secrets/pin", "secret"):
            (folder / name).write_bytes(b"content")
        (folder / "home").chmod(0o777)
        folder.chmod(0o700)
        yield folder


@pytest.fixture
def view(closed: Path) -> Iterator[PrivateView]:
    refusal = refusal_of_views()
    if refusal:
        pytest.skip(f"this machine allows no private view: {refusal}")
    made = make_view(closed / "home", [closed / "code", *CODE], [closed / "home", closed / "code/inner/code.py"], [])
    assert closed in made.covered
    yield made
    made.close()


def _in(view: PrivateView, script: str, *who: str) -> str:
    command = [*view.entrance, *who, "sh", "-c", script]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout.strip()


def _mounts(closed: Path) -> frozenset[str]:
    """Return what is mounted, without the disks of other tests: some run at the same time (proc(5), `mountinfo`)."""
    mounted = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    points = {line: Path(line.split()[4]) for line in mounted}
    others = (Path("/tmp"), Path(tempfile.gettempdir()))
    return frozenset(
        line
        for line, point in points.items()
        if point.is_relative_to(closed) or not any(point.is_relative_to(folder) for folder in others)
    )


@pytest.mark.parametrize("who", [(), NOBODY], ids=["root", "nobody"])
def test_only_what_is_needed_is_in_the_view(closed: Path, view: PrivateView, who: tuple[str, ...]) -> None:
    seen = _in(view, f"cd {closed} && find . | sort", *who).split()
    assert seen == [".", "./code", "./code/inner", "./code/inner/code.py", "./home", "./home/deep", "./home/deep/file"]
    assert _in(view, f"cat {closed}/code/inner/code.py", *who) == "content"
    assert _in(view, f"cat {closed}/secret {closed}/secrets/pin", *who) == ""


def test_home_is_the_real_one_and_the_rest_is_not_written_even_by_root(closed: Path, view: PrivateView) -> None:
    script = f"for folder in home code/inner .; do : > {closed}/$folder/new && echo $folder; done"
    assert _in(view, script, *NOBODY).split() == ["home"]
    assert (closed / "home" / "new").stat().st_uid == 65534
    (closed / "home" / "new").unlink()
    assert [_in(view, f": > {closed}/{name}/new && echo {name}") for name in ("home", "code", ".")] == ["home", "", ""]


def test_nobody_elses_view_changes(closed: Path) -> None:
    before = _mounts(closed)
    try:
        made = make_view(closed / "home", [closed / "code", *CODE], [closed / "home"], [])
    except ViewRefused as error:
        pytest.skip(f"this machine allows no private view: {error}")
    made.close()
    assert _mounts(closed) == before
    assert (closed / "secrets" / "pin").read_bytes() == b"content"


def test_what_the_settings_name_is_not_hidden(closed: Path) -> None:
    (closed / "home" / "link").symlink_to(closed / "secrets")
    for named in (closed / "secrets" / "pin", closed / "home" / "link" / "pin", closed / "home" / ".." / "secret"):
        with pytest.raises(ViewRefused, match="the settings name"):
            make_view(closed / "home", CODE, [closed / "home"], [named])


def test_what_the_settings_name_in_home_or_elsewhere_is_no_obstacle(closed: Path, view: PrivateView) -> None:
    named = [closed / "home" / "pin", Path("/run/hsm.sock"), Path("service.pin")]
    make_view(closed / "home", CODE, [closed / "home"], named).close()


def test_a_root_that_may_not_mount_is_told_so_and_nothing_is_changed(closed: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from webapp.private_view import ViewRefused, make_view\n"
        "try: make_view(Path(sys.argv[1]), [], [Path(sys.argv[1])], [])\n"
        "except ViewRefused as error: print(error)"
    )
    command = [*WITHOUT_RIGHT, sys.executable, "-P", "-c", code, str(closed / "home")]
    before = _mounts(closed)
    ended = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, check=False
    )
    assert ended.stdout.strip() == "a namespace of one's own: Operation not permitted", ended.stderr
    assert _mounts(closed) == before


def test_a_view_that_fails_half_way_leaves_nothing(closed: Path, view: PrivateView) -> None:
    before = _mounts(closed), sorted(closed.rglob("*"))
    with pytest.raises(ViewRefused, match="missing: No such file or directory"):
        make_view(closed / "home", [*CODE, closed / "missing"], [closed / "home"], [])
    assert (_mounts(closed), sorted(closed.rglob("*"))) == before


def test_what_others_may_not_read_even_in_the_view_is_named(closed: Path, view: PrivateView) -> None:
    (closed / "code" / "inner").chmod(0o700)
    with pytest.raises(ViewRefused, match=f"in it other users cannot pass {closed}/code/inner"):
        make_view(closed / "home", [*CODE, closed / "code"], [closed / "home", closed / "code/inner/code.py"], [])


def test_a_system_without_the_program_that_enters_says_so(
    closed: Path, view: PrivateView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.PrivateView, "entrance", ("nsenter-that-is-missing", "--"))
    before = open_descriptors()
    with pytest.raises(ViewRefused, match="nsenter-that-is-missing does not run"):
        make_view(closed / "home", CODE, [closed / "home"], [])
    assert open_descriptors() <= before
