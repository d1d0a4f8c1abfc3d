"""`--server URL`: the same command, carried out by a server that the officer reaches over mutual TLS."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final, TypeVar, cast
from urllib.parse import quote

import click

from webapp.commands.options import OFFICER_OPTIONS
from webapp.deployment import Deployment
from webapp.officer_client import OfficerClient
from webapp.officers import Signatory

_Command = TypeVar("_Command", bound=Callable[..., Any])

_OPTIONS: Final = (
    click.option(
        "--ca", "anchor", type=click.Path(path_type=Path), metavar="PEM", help="What --server's certificate comes from."
    ),
    click.option("--server", metavar="URL", help="Have that server do it, asked over mutual TLS as the officer."),
)


_OFFICER: Final = ("officer", "officer_key", "officer_cert")


def _pop_officer(options: dict[str, Any]) -> bool:
    """Take the officer's options out; tell whether any was given."""
    return {options.pop(name) for name in _OFFICER} != {None}


def in_path(name: str) -> str:
    """Write a name as one segment of a path."""
    return quote(name, safe="", errors="replace")


def served_by(there: Callable[..., None], *, for_officers_there: bool = False) -> Callable[[_Command], _Command]:
    """Give a command `--server`; with it, `there(client, …)` is called with the command's own options instead.

    Stands above the options of home and officer. Nothing of the deployment is needed then but, where they are not
    named, the officer's files and the trust anchor. `for_officers_there` gives the officer's options too, to a
    command that takes no officer beside the database.
    """

    def decorate(command: _Command) -> _Command:
        @wraps(command)
        def either(*, server: str | None, anchor: Path | None, **options: Any) -> Any:
            if server is None:
                if anchor is not None or (for_officers_there and _pop_officer(options)):
                    raise click.UsageError("--ca belongs to --server, and here the officer too")
                return command(**options)
            deployment: Deployment = options.pop("deployment")
            named, key, certificate = (options.pop(name) for name in _OFFICER)
            if (key is None) != (certificate is None):
                raise click.UsageError("--officer-key and --officer-cert belong together")
            if named is None and key is None:
                raise click.UsageError("name the --officer, or give --officer-key and --officer-cert")
            officer = Signatory.of(deployment, named, key, certificate)
            return there(OfficerClient.of(server, officer, anchor or deployment.anchor), **options)

        for option in (*(OFFICER_OPTIONS if for_officers_there else ()), *_OPTIONS):
            option(either)
        return cast("_Command", either)

    return decorate
