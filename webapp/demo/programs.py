"""Running Mohr's own programs as processes and reading what they say."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pki.errors import ErrorCode, VerificationFailed

TIMEOUT_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a program ended."""

    status: int
    output: str
    messages: str

    def json(self) -> dict[str, Any]:
        """Read the last line of standard output as a JSON object."""
        lines = self.output.strip().splitlines()
        try:
            value = json.loads(lines[-1])
        except (IndexError, ValueError) as error:
            raise VerificationFailed(ErrorCode.DEMO_DIFFERS, f"no JSON answer: {self.messages[-300:]}") from error
        if not isinstance(value, dict):
            raise VerificationFailed(ErrorCode.DEMO_DIFFERS, "the JSON answer is no object")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """Mohr's programs, with the working folder and the environment they run in."""

    folder: Path
    environment: Mapping[str, str]

    def run(
        self,
        program: str,
        *arguments: str,
        expect: int | None = 0,
        secrets: Sequence[str] = (),
        typed: Sequence[str] = (),
    ) -> Ended:
        """Run one program to its end.

        `secrets` are handed over a pipe whose number follows `--pin-fd`, `typed` are lines of standard input.
        VerificationFailed (`demo-differs`) when the exit status is not the expected one.
        """
        command = [sys.executable, "-m", _MODULES[program], *arguments]
        descriptors: tuple[int, ...] = ()
        if secrets:
            reader, writer = os.pipe()
            os.write(writer, "".join(f"{secret}\n" for secret in secrets).encode())
            os.close(writer)
            command += ["--pin-fd", str(reader)]
            descriptors = (reader,)
        try:
            done = subprocess.run(  # noqa: S603 - our own programs
                command,
                cwd=self.folder,
                env={**os.environ, **self.environment},
                capture_output=True,
                pass_fds=descriptors,
                timeout=TIMEOUT_SECONDS,
                check=False,
                input="".join(f"{line}\n" for line in typed).encode(),
            )
        except subprocess.TimeoutExpired as error:
            what = f"{program} {' '.join(arguments[:3])} did not end within {TIMEOUT_SECONDS} s"
            raise VerificationFailed(ErrorCode.DEMO_DIFFERS, what) from error
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        ended = Ended(
            status=done.returncode,
            output=done.stdout.decode(errors="replace"),
            messages=done.stderr.decode(errors="replace"),
        )
        if expect is not None and ended.status != expect:
            what = f"{program} {' '.join(arguments[:3])} ended with {ended.status}, not {expect}"
            raise VerificationFailed(ErrorCode.DEMO_DIFFERS, f"{what}: {ended.messages.strip()[-600:]}")
        return ended


_MODULES = {"mohr": "webapp", "mohr-agent": "desk", "mohr-gateway": "webapp.gateway_cli"}
