"""Options that several commands of `mohr` share."""

import json
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import click

from signer.files import check_writable
from webapp.deployment import Deployment
from webapp.officers import Signatory

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _writable(_context: click.Context, _parameter: click.Parameter, path: Path | None) -> Path | None:
    """Refuse a place that cannot be written before a key is used."""
    if path is not None:
        check_writable(path)
    return path


home_option = click.option(
    "--home",
    "deployment",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("var"),
    show_default=True,
    callback=lambda _context, _parameter, value: Deployment(Path(value).absolute()),
    help="The folder of the deployment.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
output_option = click.option(
    "-o", "--output", type=click.Path(path_type=Path), callback=_writable, help="Where to write."
)
file_argument = click.argument("file", type=click.Path(path_type=Path))


def _officer_options(*, required: Callable[[Deployment], bool]) -> Callable[[_Command], _Command]:
    def decorate(command: _Command) -> _Command:
        @wraps(command)
        def with_signatory(
            *arguments: Any,
            deployment: Deployment,
            officer: str | None,
            officer_key: Path | None,
            officer_cert: Path | None,
            **options: Any,
        ) -> Any:
            if (officer_key is None) != (officer_cert is None):
                raise click.UsageError("--officer-key and --officer-cert belong together")
            if officer is None and officer_key is None:
                if required(deployment):
                    raise click.UsageError("name the --officer, or give --officer-key and --officer-cert")
                return command(*arguments, deployment=deployment, officer=None, **options)
            deployment.settings()  # NotFound where there is no deployment
            signatory = Signatory.of(deployment, officer, officer_key, officer_cert)
            return command(*arguments, deployment=deployment, officer=signatory, **options)

        for option in OFFICER_OPTIONS:
            option(with_signatory)
        return cast("_Command", with_signatory)

    return decorate


OFFICER_OPTIONS: Final = (
    click.option(
        "--officer-cert", type=click.Path(path_type=Path), metavar="PEM", help="The certificate of --officer-key."
    ),
    click.option(
        "--officer-key", type=click.Path(path_type=Path), metavar="PEM", help="The officer's key, kept elsewhere."
    ),
    click.option(
        "--officer",
        metavar="ID",
        help="Who does this: signed with the key that HOME/officers/ID holds of a pilot's officer.",
    ),
)
officer_option = _officer_options(required=lambda _deployment: True)
perhaps_officer_option = _officer_options(required=lambda _deployment: False)
acting_officer_option = _officer_options(required=lambda deployment: deployment.settings().production)
"""As `officer_option`; in a pilot, an officer whose key it keeps acts where none is named (`acting.acting_officer`)."""


def answer(value: Mapping[str, Any]) -> None:
    """Write one JSON object, a line, on standard output; names of files that are not text are replaced."""
    click.echo(json.dumps(dict(value), ensure_ascii=False).encode("utf-8", "replace"))


def say(line: str) -> None:
    """Write a line of progress on standard error."""
    click.echo(line, err=True)
