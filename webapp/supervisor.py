"""Keeping a handful of processes alive: start in order, restart what dies, end everything together."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType

from pki.errors import ServiceError

FIRST_DELAY_SECONDS = 0.2
LONGEST_DELAY_SECONDS = 5.0  # of what ends by itself, again and again
FIRST_DELAY_AFTER_KILL_SECONDS = 0.02  # no fault of its own keeps it from starting
LONGEST_DELAY_AFTER_KILL_SECONDS = 0.5
STOP_SECONDS = 8.0
TICK_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAs:
    """The user of a process that root starts; it gains no rights by any program that it starts.

    `all_groups` are those that the system lists for the user, else its own alone. With `low_ports` it may listen
    below 1024. `entrance` is the command by which root enters what the process sees of the file system, if not all.
    """

    uid: int
    gid: int
    all_groups: bool = False
    low_ports: bool = False
    umask: int = 0o022
    entrance: tuple[str, ...] = ()

    def launcher(self, *options: str) -> tuple[str, ...]:
        """Return the words before a command by which it runs so; `options` are for setpriv(1)."""
        groups = "--init-groups" if self.all_groups else "--clear-groups"
        kept = ("--inh-caps", "+net_bind_service", "--ambient-caps", "+net_bind_service") if self.low_ports else ()
        user = ("--reuid", str(self.uid), "--regid", str(self.gid), groups, *kept, "--no-new-privs")
        return (*self.entrance, "setpriv", *options, *user, "--")


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One process to keep alive; `environment` is added to the supervisor's own. Without `run_as` it is our user's.

    It is first started `wait` seconds after the others: what serves the first page gets the processors first.
    """

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    wait: float = 0.0
    run_as: RunAs | None = None


class _Child:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.delay = 0.0
        self.next_start = 0.0
        self.started = 0.0
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, now: float) -> None:
        user = self.program.run_as
        environment = {**os.environ, **({} if user is None else {"HOME": "/nonexistent"}), **self.program.environment}
        # A supervisor that is killed must not leave servers behind: the kernel tells them.
        end_with_us = ("--pdeathsig", "TERM")
        launcher = ("setpriv", *end_with_us, "--") if user is None else user.launcher(*end_with_us)
        command = [*launcher, *self.program.arguments]
        self.process = subprocess.Popen(  # noqa: S603 - our own programs
            command,
            env=environment,
            start_new_session=True,
            umask=-1 if user is None else user.umask,
            cwd=None if user is None else "/",  # ours may be a folder that this user cannot enter
        )
        self.started = now

    def watch(self, now: float, say: Callable[[str], None]) -> None:
        """Notice an end and plan the restart; start again when the time has come."""
        if self.process is not None and self.process.poll() is not None:
            say(f"{self.program.name} ended with status {self.process.returncode}")
            with contextlib.suppress(ProcessLookupError):  # what it started and left behind would serve on, unseen
                os.killpg(self.process.pid, signal.SIGKILL)
            killed = self.process.returncode < 0
            first = FIRST_DELAY_AFTER_KILL_SECONDS if killed else FIRST_DELAY_SECONDS
            longest = LONGEST_DELAY_AFTER_KILL_SECONDS if killed else LONGEST_DELAY_SECONDS
            self.delay = first if now - self.started > 10 else min(max(self.delay * 2, first), longest)
            self.next_start = now + self.delay
            self.process = None
        if self.process is None and now >= self.next_start:
            self.start(now)

    def signal(self, number: int) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            self.process.poll()


class Supervisor:
    """Run programs until told to stop. `say` receives one line for every start, end and stop."""

    def __init__(self, programs: Sequence[Program], say: Callable[[str], None]) -> None:
        self._children = [_Child(program) for program in programs]
        self._say = say
        self._stopping = False
        self._failure: ServiceError | None = None

    def fail(self, error: ServiceError) -> None:
        """Stop, and have `run` raise `error` once everything has ended; from any thread."""
        self._failure = error
        self._stopping = True

    def request_stop(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """Ask `run` to end; fit to be a signal handler."""
        self._stopping = True

    def run(self, ready: Callable[[], bool], on_ready: Callable[[], None]) -> None:
        """Start everything, call `on_ready` once when `ready` first says so, and watch until stopped.

        Raises what was given to `fail`.
        """
        signal.signal(signal.SIGTERM, self.request_stop)
        signal.signal(signal.SIGINT, self.request_stop)
        announced = False
        for child in self._children:
            child.next_start = time.monotonic() + child.program.wait
        try:
            while not self._stopping:
                now = time.monotonic()
                for child in self._children:
                    child.watch(now, self._say)
                if not announced and ready():
                    announced = True
                    on_ready()
                time.sleep(TICK_SECONDS)
        finally:
            self._stop()
        if self._failure is not None:
            raise self._failure

    def _stop(self) -> None:
        for child in reversed(self._children):
            child.signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for child in reversed(self._children):
            if child.process is None:
                continue
            try:
                child.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.signal(signal.SIGKILL)
                child.process.wait()
