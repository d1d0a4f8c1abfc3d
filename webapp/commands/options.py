"""Options that several commands of `mohr` share."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from pki.errors import ErrorCode, InvalidInput
from webapp.deployment import Deployment

MAX_FILE_OCTETS = 50 * 1024 * 1024

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
officer_option = click.option(
    "--officer",
    required=True,
    metavar="ID",
    help="Who does this. The shell of the operator is trusted to say so truly.",
)
output_option = click.option("-o", "--output", type=click.Path(path_type=Path), help="Where to write.")
file_argument = click.argument("file", type=click.Path(path_type=Path))


def answer(value: Mapping[str, Any]) -> None:
    """Write one JSON object, a line, on standard output."""
    click.echo(json.dumps(dict(value), ensure_ascii=False))


def say(line: str) -> None:
    """Write a line of progress on standard error."""
    click.echo(line, err=True)


def read_file(path: Path, *, limit: int = MAX_FILE_OCTETS) -> bytes:
    """Read an input file; InvalidInput with a code when it is unreadable, empty or larger than `limit` octets."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise InvalidInput(ErrorCode.FILE_UNREADABLE, path.name) from error
    if len(data) > limit:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, path.name)
    if not data:
        raise InvalidInput(ErrorCode.INPUT_EMPTY, path.name)
    return data
