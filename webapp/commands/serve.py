"""`mohr serve`: custodians, worker, linter, server and the exchange's mutual-TLS listener, kept alive together."""

import contextlib
import os
import sys
import urllib.error
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPException
from typing import Final

import click

from pki.errors import Unavailable
from webapp.commands.options import home_option, say
from webapp.compose import authority_settings, bring_schema_up
from webapp.custody import custodian_count
from webapp.deployment import Deployment
from webapp.deployment_settings import DeploymentSettings
from webapp.http_client import DIRECTLY
from webapp.pin_keeping import keeps_pin, prepare_keeper
from webapp.profile_limits import follow_profile_limits
from webapp.separation import Separation, separate
from webapp.supervisor import Program, Supervisor

DEFAULT_BIND = "127.0.0.1:8440"
LATER_SECONDS = 1.5
MEMORY: Final = {"MALLOC_MMAP_THRESHOLD_": str(128 * 1024), "MALLOC_TRIM_THRESHOLD_": str(4 * 1024 * 1024)}
"""Of who takes bodies (mallopt(3)): what is large goes back to the system when it is freed, else each thread keeps much
of it; what is small is kept, for to give back the end of a heap with each request and ask for it anew takes time."""


def split_bind(bind: str) -> tuple[str, int]:
    """Split HOST:PORT; UsageError for anything else."""
    host, _, port = bind.rpartition(":")
    if not host or not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65536:
        raise click.UsageError("--bind takes HOST:PORT")
    return host.strip("[]"), int(port)


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def programs(
    deployment: Deployment, settings: DeploymentSettings, bind: str, separation: Separation
) -> tuple[Program, ...]:
    """Return what runs in this deployment, in starting order."""
    host, port = split_bind(bind)
    home = {"MOHR_HOME": str(deployment.home)}
    listening = home | MEMORY
    python = (sys.executable, "-P", "-m")  # whatever lies in the folder that we are in
    keeper = Program(
        name="keeper",
        arguments=(*python, "hsm.keeper", str(deployment.keeper_config)),
        run_as=separation.custodian(),
    )
    return (
        *((keeper,) if deployment.keeper_config.exists() else ()),
        *(
            Program(
                name=f"custodian {index}",
                arguments=(*python, "hsm.custodian", str(deployment.custodian_config), str(index)),
                wait=LATER_SECONDS if index else 0.0,
                run_as=separation.custodian(),
            )
            for index in range(custodian_count())
        ),
        Program(
            name="worker",
            arguments=(*python, "webapp.worker"),
            environment=home,
            wait=LATER_SECONDS,
            run_as=separation.worker(),
        ),
        Program(
            name="linter",
            arguments=(*python, "webapp.linter"),
            environment=home,
            wait=LATER_SECONDS,
            run_as=separation.linter(),
        ),
        Program(
            name="server",
            arguments=(*python, "webapp.page_server", host, str(port)),
            environment=listening,
            run_as=separation.server(port),
        ),
        Program(
            name="exchange",
            arguments=(*python, "webapp.exchange_server", _authority(host, settings.exchange_port)),
            environment=listening,
            run_as=separation.server(settings.exchange_port),
        ),
    )


def is_served(bind: str) -> bool:
    """Whether the health page answers at `bind`, with whatever verdict."""
    try:
        with DIRECTLY.open(f"http://{_authority(*split_bind(bind))}/healthz", timeout=1):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return True
    except (OSError, HTTPException):  # nobody, or somebody who speaks no HTTP
        return False


def _bring_schema_up(deployment: Deployment) -> None:
    """Migrate before anything asks; a database that does not answer now is the worker's to migrate later."""
    try:
        bring_schema_up(deployment)
    except Unavailable as error:
        say(f"the database waits to be brought up to this program: {error.detail}")


def serve_deployment(deployment: Deployment, bind: str, on_ready: Callable[[Supervisor], None]) -> None:
    """Run everything until stopped; `on_ready` is called once the first page is served.

    Conflict where the deployment is served already, or its database is of a newer program. UsageError for an address
    that is none, before anything is touched.
    """
    split_bind(bind)
    settings = deployment.settings()
    with deployment.serving(), contextlib.ExitStack() as stack:
        deployment.complete_folders()
        if follow_profile_limits(deployment.policy_file, authority_settings(settings)):
            say("the custodians' limits follow the profiles, which changed")
        separation = stack.enter_context(closing(separate(deployment)))
        for line in separation.lines:
            say(line)
        if keeps_pin(deployment):
            prepare_keeper(deployment, separation.accounts.custodian.uid, os.geteuid())
            say("the custodians wait for their PIN: mohr hsm unlock")
        else:
            deployment.keeper_config.unlink(missing_ok=True)
        _bring_schema_up(deployment)
        supervisor = Supervisor(programs(deployment, settings, bind, separation), say)
        supervisor.run(lambda: is_served(bind), lambda: on_ready(supervisor))


@click.command()
@home_option
@click.option("--bind", default=DEFAULT_BIND, show_default=True, metavar="HOST:PORT")
def serve(deployment: Deployment, bind: str) -> None:
    """Run the custodians, the worker, the linter and the server of a deployment until stopped.

    Example: mohr serve --home var --bind 127.0.0.1:8440
    """
    serve_deployment(deployment, bind, lambda _supervisor: say(f"serving http://{bind}/"))
