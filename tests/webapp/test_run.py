from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pki.errors import ErrorCode, ServiceError, VerificationFailed
from webapp.commands import run as module
from webapp.demo import programs
from webapp.demo.programs import Programs
from webapp.deployment import Deployment
from webapp.supervisor import Supervisor


@pytest.mark.parametrize("failure", [OSError("no space"), VerificationFailed(ErrorCode.DEMO_DIFFERS, "x")])
def test_a_demo_that_breaks_off_ends_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def play(_deployment: Deployment, _say: Callable[[str], None]) -> None:
        raise failure

    monkeypatch.setattr(module, "play", play)
    monkeypatch.setattr("webapp.supervisor.signal.signal", lambda *_: None)
    supervisor = Supervisor([], lambda _line: None)
    deployment = Deployment(tmp_path)
    with pytest.raises(ServiceError) as caught:
        supervisor.run(lambda: True, lambda: module._first_time(deployment, "http://x/", supervisor))
    assert caught.value.code is ErrorCode.DEMO_DIFFERS
    assert not list(tmp_path.rglob("demo-played"))


def test_a_program_that_hangs_is_a_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "TIMEOUT_SECONDS", 0.2)
    (tmp_path / "hangs.py").write_text("import time; time.sleep(30)", encoding="ascii")
    monkeypatch.setattr(programs, "_MODULES", {"mohr": "hangs"})
    started = Programs(folder=tmp_path, environment={"PYTHONPATH": str(tmp_path)})
    with pytest.raises(VerificationFailed) as caught:
        started.run("mohr", "verify")
    assert caught.value.code is ErrorCode.DEMO_DIFFERS
