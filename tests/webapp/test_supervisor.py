from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pki.errors import ErrorCode, VerificationFailed
from tests.support.patience import PATIENCE, until
from webapp import supervisor as module
from webapp.supervisor import Program, RunAs, Supervisor

SLEEPER = (sys.executable, "-c", "import time; time.sleep(60)")


def _until(condition: Callable[[], object]) -> None:
    until(condition, "what is awaited of a program")


@pytest.fixture(autouse=True)
def _no_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A supervisor in a test takes no signals: the tests run it in a thread."""
    monkeypatch.setattr("webapp.supervisor.signal.signal", lambda *_: None)


def _run(supervisor: Supervisor, ready: Callable[[], bool], on_ready: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=supervisor.run, args=(ready, on_ready))
    thread.start()
    return thread


def _alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists() and "State:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="ascii")


def test_what_dies_is_started_again_and_everything_ends_together(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    writer = f"import os, time; open({str(pids)!r}, 'a').write(f'{{os.getpid()}}\\n'); time.sleep(60)"
    said: list[str] = []
    supervisor = Supervisor([Program(name="writer", arguments=(sys.executable, "-c", writer))], said.append)
    readied = threading.Event()
    thread = _run(supervisor, pids.exists, readied.set)

    def lines() -> list[str]:
        return pids.read_text(encoding="ascii").split() if pids.exists() else []

    try:
        _until(lambda: len(lines()) == 1)
        assert readied.wait(PATIENCE)
        os.kill(int(lines()[0]), 9)
        _until(lambda: len(lines()) == 2)
    finally:
        supervisor.request_stop()
        thread.join(PATIENCE)
    assert not thread.is_alive()
    assert not any(_alive(int(pid)) for pid in lines())
    assert any("ended with status" in line for line in said)


def test_what_a_killed_program_leaves_behind_ends_before_it_is_started_again(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    writer = (
        "import os, subprocess, sys, time; child = subprocess.Popen([sys.executable, '-c', 'import time; "
        f"time.sleep(60)']); open({str(pids)!r}, 'a').write(f'{{os.getpid()}} {{child.pid}}\\n'); time.sleep(60)"
    )
    supervisor = Supervisor([Program(name="writer", arguments=(sys.executable, "-c", writer))], lambda _line: None)
    thread = _run(supervisor, lambda: False, lambda: None)

    def lines() -> list[list[str]]:
        return [line.split() for line in pids.read_text(encoding="ascii").splitlines()] if pids.exists() else []

    try:
        _until(lambda: len(lines()) == 1)
        os.kill(int(lines()[0][0]), 9)
        _until(lambda: len(lines()) == 2)
        assert not _alive(int(lines()[0][1]))
        assert _alive(int(lines()[1][1]))
    finally:
        supervisor.request_stop()
        thread.join(15)


def _delays(program: Program, end: Callable[[module._Child], object], times: int) -> list[float]:
    """Start a program so often, each time when it is due; return how long it was waited after each of its ends."""
    child, now, delays = module._Child(program), 0.0, []
    for _ in range(times):
        child.watch(now, lambda _line: None)
        assert child.process is not None
        end(child)
        child.process.wait(PATIENCE)
        child.watch(now, lambda _line: None)
        delays.append(child.next_start - now)
        now = child.next_start
    return delays


def test_a_program_that_ends_at_once_is_retried_ever_more_slowly() -> None:
    delays = _delays(Program(name="quick", arguments=("true",)), lambda _child: None, 7)
    assert delays == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])


def test_what_is_killed_again_and_again_is_back_within_half_a_second_each_time() -> None:
    delays = _delays(Program(name="killed", arguments=SLEEPER), lambda child: child.signal(signal.SIGKILL), 6)
    assert max(delays) == pytest.approx(0.5)


def test_a_failure_given_to_the_supervisor_is_raised_at_its_end() -> None:
    supervisor = Supervisor([Program(name="sleeper", arguments=SLEEPER)], lambda _line: None)
    supervisor.fail(VerificationFailed(ErrorCode.DEMO_DIFFERS, "x"))
    with pytest.raises(VerificationFailed) as caught:
        supervisor.run(lambda: False, lambda: None)
    assert caught.value.code is ErrorCode.DEMO_DIFFERS


def test_a_program_that_does_not_listen_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "STOP_SECONDS", 0.5)
    up = tmp_path / "up"
    deaf = f"import signal, time; signal.signal(15, signal.SIG_IGN); open({str(up)!r}, 'w').close(); time.sleep(60)"
    supervisor = Supervisor([Program(name="deaf", arguments=(sys.executable, "-c", deaf))], lambda _line: None)
    thread = _run(supervisor, up.exists, lambda: None)
    _until(up.exists)
    supervisor.request_stop()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_what_may_wait_starts_after_what_may_not(tmp_path: Path) -> None:
    def writer(name: str) -> tuple[str, ...]:
        told = f"import os, time; open({str(tmp_path / name)!r}, 'w').write(f'{{os.getpid()}}\\n'); time.sleep(60)"
        return (sys.executable, "-c", told)

    def started_at(name: str) -> int:
        """Return when it was started, in ticks of the machine (proc(5), `stat`); 0 while it has not said so."""
        if not (said := (tmp_path / name).read_text(encoding="ascii") if (tmp_path / name).exists() else ""):
            return 0
        return int(Path(f"/proc/{int(said)}/stat").read_text().rpartition(")")[2].split()[19])

    now, later = (
        Program(name="now", arguments=writer("now")),
        Program(name="later", arguments=writer("later"), wait=1.0),
    )
    supervisor = Supervisor([later, now], lambda _line: None)
    started = time.monotonic()
    thread = _run(supervisor, lambda: False, lambda: None)
    try:
        _until(lambda: started_at("later"))
        assert time.monotonic() - started >= 1.0
        _until(lambda: started_at("now"))
        assert started_at("now") < started_at("later")
    finally:
        supervisor.request_stop()
        thread.join(15)


@pytest.mark.real
@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts programs as other users")
def test_a_program_runs_as_its_user_and_gains_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    show = "cat /proc/self/status; echo Umask2: $(umask); echo Cwd: $(pwd); echo Home: $HOME; echo End:; exec sleep 60"
    run_as = RunAs(uid=4001, gid=4002, umask=0o027, low_ports=True)
    supervisor = Supervisor([Program(name="shown", arguments=("sh", "-c", show), run_as=run_as)], lambda _line: None)
    thread, shown = _run(supervisor, lambda: False, lambda: None), ""
    try:
        end = time.monotonic() + PATIENCE
        while "End:" not in shown and time.monotonic() < end:
            shown += capfd.readouterr().out
            time.sleep(0.02)
    finally:
        supervisor.request_stop()
        thread.join(15)
    status = {name: value.split() for name, _, value in (line.partition(":") for line in shown.splitlines())}
    assert status["Uid"] == ["4001"] * 4
    assert status["Gid"] == ["4002"] * 4
    assert status["Groups"] == []
    assert status["NoNewPrivs"] == ["1"]
    assert int(status["CapEff"][0], 16) == 1 << 10, "CAP_NET_BIND_SERVICE and nothing else"
    assert (status["Umask2"], status["Cwd"], status["Home"]) == (["0027"], ["/"], ["/nonexistent"])
