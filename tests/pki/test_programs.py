import errno

import click
import pytest

from pki.errors import ErrorCode, InvalidInput, Unavailable
from pki.programs import ExitStatus, run_program


@click.command()
@click.argument("kind")
def _command(kind: str) -> int | None:
    if kind == "refused":
        raise InvalidInput(ErrorCode.INPUT_EMPTY)
    if kind == "silent":
        raise Unavailable(ErrorCode.HSM_UNAVAILABLE)
    if kind == "bug":
        raise KeyError("secret")
    if kind == "full":
        raise OSError(errno.ENOSPC, "No space left on device")
    if kind == "another's":
        raise PermissionError(errno.EACCES, "Permission denied", "data/mohr.db")
    if kind == "interrupt":
        raise click.exceptions.Abort
    return 2 if kind == "two" else None


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["fine"], ExitStatus.OK),
        (["two"], 2),
        (["refused"], ExitStatus.REFUSED),
        (["silent"], ExitStatus.UNAVAILABLE),
        ([], ExitStatus.USAGE),
        (["--nonsense"], ExitStatus.USAGE),
        (["interrupt"], ExitStatus.INTERRUPTED),
        (["full"], ExitStatus.USAGE),
        (["another's"], ExitStatus.REFUSED),
        (["bug"], ExitStatus.INTERNAL),
    ],
)
def test_a_program_ends_with_its_status_and_without_a_traceback(
    arguments: list[str], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    kept: list[str] = []
    with pytest.raises(SystemExit) as ended:
        run_program(_command, arguments, lambda _incident, text: kept.append(text))
    assert ended.value.code == status
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    assert "secret" not in shown.err
    assert bool(kept) == (status == ExitStatus.INTERNAL)


def test_whoever_may_not_read_a_deployment_is_told_which_file(capsys: pytest.CaptureFixture[str]) -> None:
    shown = _run(["another's"], capsys)
    assert shown.startswith("file-unreadable")
    assert "data/mohr.db: Permission denied" in shown


def _run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    def refuse(_incident: str, _text: str) -> None:
        raise PermissionError(13, "Permission denied")

    with pytest.raises(SystemExit):
        run_program(_command, arguments, refuse)
    return capsys.readouterr().err


def test_a_wrong_command_line_is_told_by_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    usage, *said = _run(["--nonsense"], capsys).splitlines()
    assert usage.startswith("Usage: ")
    assert said[-1].startswith("usage: ")
    assert "--nonsense" in said[-1]


def test_a_full_disk_is_told_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["full"], capsys).startswith("file-unwritable: ")


def test_a_trace_that_cannot_be_kept_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    said = _run(["bug"], capsys)
    assert [line.split(":")[0] for line in said.splitlines()] == ["file-unwritable", "internal"]
