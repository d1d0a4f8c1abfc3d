"""The whole promise, played through processes on real parts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hsm.softhsm import find_module
from tests.support.reader_stack import require_reader_programs
from webapp.ports import free_pair, free_port

pytestmark = pytest.mark.real


def _mohr(*arguments: str, seconds: float = 200) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "webapp", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)


@pytest.mark.skipif(find_module() is None, reason="SoftHSM2 is not installed")
def test_the_demo_ends_with_every_verdict_as_expected(tmp_path: Path) -> None:
    require_reader_programs()
    home = tmp_path / "home"
    made = _mohr("init", "--home", str(home), "--public-url", f"http://127.0.0.1:{free_pair(free_port())}")
    assert made.returncode == 0, made.stderr
    played = _mohr("demo", "--home", str(home), "--json")
    assert played.returncode == 0, played.stderr[-2000:]
    checks = json.loads(played.stdout.splitlines()[-1])["checks"]
    assert len(checks) >= 19
    assert all(check["expected"] == check["actual"] for check in checks)
    _nothing_secret_was_kept(home, made.stderr)


def _nothing_secret_was_kept(home: Path, shown_at_init: str) -> None:
    """The root's PIN is nowhere under HOME, and no log holds a national code or a card's PIN."""
    pin = next(line.rsplit(": ", 1)[1] for line in shown_at_init.splitlines() if "pilot root PIN" in line)
    for path in home.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert pin.encode() not in data, f"{path.name} holds the root's PIN"
            if path.suffix == ".log":
                assert b"135790" not in data
                assert b"PNOIR-" not in data
