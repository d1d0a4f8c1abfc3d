"""`mohr bench`: the figures, beside peers measured in the same job."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import click

from webapp.atomic_files import write_atomically
from webapp.bench.answering import answering_figures
from webapp.bench.custody import custody_figures
from webapp.bench.inventory import inventory_figures
from webapp.bench.issuing import issuing_figures, scratch_deployment
from webapp.bench.list_peers import list_peer_figures
from webapp.bench.lists import list_figures
from webapp.bench.material import make_material
from webapp.bench.measure import Figure, machine
from webapp.bench.signing import sign_figures
from webapp.bench.starting import start_figure
from webapp.bench.verifying import verify_figures
from webapp.commands.options import answer, home_option, say
from webapp.deployment import Deployment

GROUPS = ("sign", "verify", "custodian", "issue", "ocsp", "crl", "inventory", "start")


def _vectors() -> Path | None:
    folder = Path(__file__).resolve().parents[3] / "shared" / "vectors"
    return folder if folder.is_dir() else None


def _measure(group: str, deployment: Deployment, *, long: bool) -> tuple[Figure, ...]:
    measures: dict[str, Callable[[], tuple[Figure, ...]]] = {
        "sign": lambda: sign_figures(make_material()),
        "verify": lambda: verify_figures(make_material(), _vectors()),
        "custodian": lambda: custody_figures(deployment.cache, make_material()),
        "issue": lambda: issuing_figures(deployment),
        "ocsp": lambda: _ocsp(deployment.cache / "answers-bench", long=long),
        "crl": lambda: (*list_figures(long=long), *list_peer_figures(long=long)),
        "inventory": lambda: inventory_figures(deployment.cache, long=long),
        "start": lambda: (start_figure(deployment),),
    }
    return measures[group]()


def _ocsp(folder: Path, *, long: bool) -> tuple[Figure, ...]:
    """Measure a deployment made for this, and take it away again: its certificates are nobody's."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        return answering_figures(scratch_deployment(folder), long=long)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _group_of(name: str) -> str:
    prefix = name.split(".", maxsplit=1)[0]
    group = {"transit": "custodian", "hsm": "custodian"}.get(prefix, prefix)
    if group not in GROUPS:
        raise click.BadParameter(f"no figure is called {name}", param_hint="NAME")
    return group


@click.command()
@home_option
@click.argument("name", required=False)
@click.option("--long", is_flag=True, help="With more certificates: a million are searched and listed.")
def bench(deployment: Deployment, name: str | None, long: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Measure every figure, or the one called NAME with its neighbours, and write HOME/bench.json.

    Example: mohr bench inventory --long
    """
    groups = GROUPS if name is None else (_group_of(name),)
    scratch = scratch_deployment(deployment.cache / "bench")
    figures: list[Figure] = []
    for group in groups:
        say(f"measuring {group}.*")
        figures += _measure(group, scratch, long=long)
    shown = [figure for figure in figures if name in (None, *GROUPS) or figure.name.startswith(str(name))]
    report = {"machine": machine(scratch.home), "figures": [figure.as_json() for figure in shown]}
    if name is None:
        write_atomically(deployment.home / "bench.json", json.dumps(report, ensure_ascii=False, indent=1).encode())
    for figure in shown:
        say(f"{figure.name:16} {figure.value:>10} {figure.unit:4} ratio {figure.ratio}")
    answer(report)
