"""Options that several commands of `mohr` share."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from signer.files import check_writable
from webapp.deployment import Deployment


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
officer_option = click.option(
    "--officer",
    required=True,
    metavar="ID",
    help="Who does this. The shell of the operator is trusted to say so truly.",
)
output_option = click.option(
    "-o", "--output", type=click.Path(path_type=Path), callback=_writable, help="Where to write."
)
file_argument = click.argument("file", type=click.Path(path_type=Path))


def answer(value: Mapping[str, Any]) -> None:
    """Write one JSON object, a line, on standard output; names of files that are not text are replaced."""
    click.echo(json.dumps(dict(value), ensure_ascii=False).encode("utf-8", "replace"))


def say(line: str) -> None:
    """Write a line of progress on standard error."""
    click.echo(line, err=True)
