"""`mohr run`: everything a stranger needs, in one command."""

import threading
from pathlib import Path

import click

from pki.errors import ErrorCode, ServiceError
from webapp.atomic_files import write_atomically
from webapp.commands.init import initialise
from webapp.commands.options import home_option, say
from webapp.commands.serve import DEFAULT_BIND, serve_deployment, split_bind
from webapp.demo.stage import play
from webapp.demo.story import FIRST_OFFICER, SECOND_OFFICER, Story
from webapp.deployment import Deployment
from webapp.supervisor import Supervisor


def _played(deployment: Deployment) -> Path:
    return deployment.run / "demo-played"


def _summary(story: Story) -> str:
    person = story.physician
    return (
        f"demo people (synthetic): physician {person.given_name} {person.surname}, "
        f"council number {person.council_number}; officers {FIRST_OFFICER}, {SECOND_OFFICER}; centre pilot-clinic-1"
    )


def _first_time(deployment: Deployment, address: str, supervisor: Supervisor) -> None:
    """Play the demo once, in the background of the served pages; end the program loudly if it differs."""
    try:
        summary = _summary(play(deployment, say))
        write_atomically(_played(deployment), summary.encode())
        _announce(deployment, address)
    except ServiceError as error:
        supervisor.fail(error)
    except Exception as error:  # noqa: BLE001 - the documented boundary of this thread; nobody else would hear of it
        supervisor.fail(ServiceError(ErrorCode.DEMO_DIFFERS, f"the demo broke off: {type(error).__name__}"))


def _announce(deployment: Deployment, address: str) -> None:
    say(_played(deployment).read_text(encoding="utf-8"))
    say(f"signed files to try on the page: {deployment.demo_files}")
    say(f"serving {address} (stop with Ctrl-C)")


@click.command()
@home_option
@click.option("--bind", default=DEFAULT_BIND, show_default=True, metavar="HOST:PORT")
def run(deployment: Deployment, bind: str) -> None:
    """Create a pilot deployment where there is none, play the demo once, and serve until stopped.

    Example: mohr run --home var
    """
    split_bind(bind)  # a wrong one is refused before it is baked into certificates
    if not deployment.exists():
        initialise(deployment, f"http://{bind}", None)
    address = f"http://{bind}/"

    def ready(supervisor: Supervisor) -> None:
        say(f"first page served at {address}")
        if _played(deployment).exists():
            _announce(deployment, address)
        else:
            threading.Thread(target=_first_time, args=(deployment, address, supervisor), daemon=True).start()

    serve_deployment(deployment, bind, ready)
