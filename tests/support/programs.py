"""Running Mohr's programs as their users do, through the boundary that ends them: here or in a process of their own."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
from click.testing import CliRunner

from pki.errors import ErrorCode
from pki.programs import run_program

REPOSITORY = Path(__file__).resolve().parents[2]
PROCESS_SECONDS = 60
_CODED = re.compile(rf"^({'|'.join(ErrorCode)}): ", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a program ended; `trace` is what it kept of an unexpected error."""

    status: int
    output: str
    messages: str
    trace: str = ""

    @property
    def code(self) -> str:
        """The stable code of the last coded line on standard error."""
        codes = _CODED.findall(self.messages)
        return str(codes[-1]) if codes else ""


def run_here(program: click.Command, *arguments: str, answers: str = "") -> Ended:
    """Run `program` in this process; `answers` is its standard input."""
    traces: list[str] = []
    status: object = None
    with CliRunner().isolation(input=answers) as (output, messages, _both):
        try:
            run_program(program, arguments, lambda _incident, text: traces.append(text))
        except SystemExit as end:
            status = end.code
        sys.stdout.flush()
        sys.stderr.flush()
        said, told = output.getvalue().decode(), messages.getvalue().decode()
    assert isinstance(status, int)
    return Ended(status=int(status), output=said, messages=told, trace="".join(traces))


@contextmanager
def handed_over(*secrets: str) -> Iterator[int]:
    """Lend a file descriptor from which each secret is read, a line each."""
    reader, writer = os.pipe()
    os.write(writer, "".join(f"{secret}\n" for secret in secrets).encode())
    os.close(writer)
    try:
        yield reader
    finally:
        os.close(reader)


def start_process(
    module: str, *arguments: str, environment: Mapping[str, str] | None = None, descriptors: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Start `python -m module` in a session of its own: without a terminal."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=REPOSITORY,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=descriptors,
        start_new_session=True,
    )


def run_process(
    module: str, *arguments: str, environment: Mapping[str, str] | None = None, secrets: Sequence[str] = ()
) -> Ended:
    """Run `python -m module` to its end; `secrets` follow `--pin-fd` over a pipe."""
    with handed_over(*secrets) as reader:
        given = ("--pin-fd", str(reader)) if secrets else ()
        process = start_process(module, *arguments, *given, environment=environment, descriptors=(reader,))
        try:
            output, messages = process.communicate(timeout=PROCESS_SECONDS)
        finally:
            process.kill()
    return Ended(
        status=process.returncode, output=output.decode(errors="replace"), messages=messages.decode(errors="replace")
    )
