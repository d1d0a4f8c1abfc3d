"""pkilint for servers that are asked to lint before they sign: a process of its own, started at the first such wish.

Importing pkilint costs a second and 100 MB, and its rules hold Python's lock for 5 to 10 ms a certificate: no server
should. A line of JSON goes in, a line comes out; the process ends with its standard input
(`python -m webapp.judging [--pilot]`).
"""

import json
import subprocess
import sys
import threading
from base64 import b64decode, b64encode
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import Final

from ca.lint.findings import Finding, Severity
from ca.linting.pkilint_judge import CRASHED, PkilintJudge
from hsm.child_process import child_environment, module_command
from webapp.overload import Places

PILOT: Final = "--pilot"
PATIENCE_SECONDS: Final = 30.0
WAITING: Final = 8
"""How many orders wait for the one process, in turns: a third of a listener's places, so that others go on."""


class JudgeProcess:
    """Judges as `PkilintJudge`, elsewhere; threads may share it."""

    name = PkilintJudge.name

    def __init__(self, *, pilot: bool) -> None:
        self._command = module_command("webapp.judging", *((PILOT,) if pilot else ()))
        self._turn, self._places = threading.Lock(), Places(WAITING)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def version(self) -> str:
        """The linter's version."""
        return version("pkilint")

    def judge(self, certificate_der: bytes, linters: Sequence[str]) -> tuple[Finding, ...]:
        """Apply the rule sets; a process that dies or does not answer is a finding of severity ERROR.

        Unavailable (`overloaded`) where too many wait for it already.
        """
        wish = json.dumps({"der": b64encode(certificate_der).decode(), "linters": list(linters)})
        with self._places.taken(), self._turn:
            try:
                said = json.loads(self._ask(wish.encode() + b"\n"))
            except (OSError, ValueError) as error:
                self._end()
                detail = f"the linter's process: {type(error).__name__}"
                return (Finding(code=CRASHED, clause=self.name, severity=Severity.ERROR, detail=detail),)
        return tuple(Finding(**one | {"severity": Severity(one["severity"])}) for one in said)

    def close(self) -> None:
        """End the process."""
        with self._turn:
            self._end()

    def _ask(self, line: bytes) -> bytes:
        process = self._process
        if process is None or process.poll() is not None:
            self._end()
            process = self._process = subprocess.Popen(  # noqa: S603 - our own program
                self._command, env=child_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        if process.stdin is None or process.stdout is None:
            raise OSError("no pipes")
        late = threading.Timer(PATIENCE_SECONDS, process.kill)
        late.start()
        try:
            process.stdin.write(line)
            process.stdin.flush()
            return process.stdout.readline()
        finally:
            late.cancel()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        process.wait()


def main() -> None:
    """Judge what each line of standard input asks for, until it ends."""
    judge = PkilintJudge(pilot=PILOT in sys.argv[1:])
    for line in sys.stdin.buffer:
        wish = json.loads(line)
        found = judge.judge(b64decode(wish["der"]), wish["linters"])
        said = [
            {"code": one.code, "clause": one.clause, "severity": int(one.severity), "detail": one.detail}
            for one in found
        ]
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
