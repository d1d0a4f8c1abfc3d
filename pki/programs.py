"""How Mohr's three programs end: exit statuses and the one boundary where errors become sentences.

A person sees a stable code with Persian and English text on standard error, never a traceback. The
exit statuses of `mohr verify` (0, 1, 2) are its own; everything else uses those below. Who reads a program's output
may leave early (`mohr verify … | head`): that is no verdict, so it ends as shells tell of SIGPIPE, and silently.
"""

import errno
import importlib
import secrets
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum, unique
from typing import Any, Final, NoReturn

import click

from pki.errors import ErrorCode, ServiceError, Unavailable
from pki.messages import sentence

_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@unique
class ExitStatus(IntEnum):
    """What a program's exit status says."""

    OK = 0
    REFUSED = 1
    UNAVAILABLE = 2
    USAGE = 3
    INTERNAL = 70
    INTERRUPTED = 130
    PIPE_CLOSED = 141


class LateCommands(click.Group):
    """A group whose commands' modules load when they are called: `--help` and small commands start quickly.

    `commands_at` maps a command's name to (module, attribute).
    """

    def __init__(self, *args: Any, commands_at: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._commands_at = commands_at

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the names."""
        return sorted(self._commands_at)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one command."""
        if cmd_name not in self._commands_at:
            return None
        module, name = self._commands_at[cmd_name]
        command = getattr(importlib.import_module(module), name)
        return command if isinstance(command, click.Command) else None


def run_program(
    command: click.Command, arguments: Sequence[str] | None, keep_trace: Callable[[str, str], None]
) -> NoReturn:
    """Run `command` and end the process.

    `keep_trace(incident, text)` receives the traceback of an unexpected error; the person gets the incident's
    number alone.
    """
    sys.exit(_status_of(command, arguments, keep_trace))


def _status_of(command: click.Command, arguments: Sequence[str] | None, keep_trace: Callable[[str, str], None]) -> int:
    output = sys.stdout
    try:
        result = command.main(args=None if arguments is None else list(arguments), standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        return ExitStatus.INTERRUPTED
    except click.FileError as error:
        click.echo(sentence(ServiceError(ErrorCode.FILE_UNREADABLE, error.format_message())), err=True)
        return ExitStatus.USAGE
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return ExitStatus.USAGE
    except click.UsageError as error:
        if error.ctx is not None:
            click.echo(error.ctx.get_usage(), err=True)
        click.echo(sentence(ServiceError(ErrorCode.USAGE, error.format_message())), err=True)
        return ExitStatus.USAGE
    except click.ClickException as error:  # `mohr verify` writes its own sentence
        click.echo(error.format_message(), err=True)
        return ExitStatus.USAGE
    except ServiceError as error:
        click.echo(sentence(error), err=True)
        return ExitStatus.UNAVAILABLE if isinstance(error, Unavailable) else ExitStatus.REFUSED
    except BrokenPipeError:
        return ExitStatus.PIPE_CLOSED
    except SystemExit as ended:
        # Where the reader left, click ends with 1 and puts something else in the place of standard output.
        return ExitStatus.PIPE_CLOSED if sys.stdout is not output else _number(ended)
    except Exception as error:  # noqa: BLE001 - the documented outermost boundary
        if isinstance(error, OSError) and error.errno in _NO_SPACE:  # where standard output goes, say
            click.echo(sentence(ServiceError(ErrorCode.FILE_UNWRITABLE, error.strerror or "")), err=True)
            return ExitStatus.USAGE
        if isinstance(error, PermissionError) and error.filename is not None:  # whose files these are not
            detail = f"{error.filename}: {error.strerror}"
            click.echo(sentence(ServiceError(ErrorCode.FILE_UNREADABLE, detail)), err=True)
            return ExitStatus.REFUSED
        _tell_incident(traceback.format_exc(), keep_trace)
        return ExitStatus.INTERNAL
    return result if isinstance(result, int) else ExitStatus.OK


def _number(ended: SystemExit) -> int:
    return ended.code if isinstance(ended.code, int) else ExitStatus.OK if ended.code is None else ExitStatus.REFUSED


def _tell_incident(trace: str, keep_trace: Callable[[str, str], None]) -> None:
    incident = secrets.token_hex(4)
    try:
        keep_trace(incident, trace)
    except OSError as error:
        click.echo(sentence(ServiceError(ErrorCode.FILE_UNWRITABLE, f"no trace kept: {error.strerror}")), err=True)
    click.echo(sentence(ServiceError(ErrorCode.INTERNAL, f"incident {incident}")), err=True)
