"""`mohr demo`: the main job from card to verdict, through processes."""

import click

from webapp.commands.init import DEFAULT_PORT, initialise
from webapp.commands.options import answer, home_option, json_option, say
from webapp.demo.stage import play
from webapp.deployment import Deployment
from webapp.ports import LOOPBACK, free_pair


@click.command()
@home_option
@json_option
def demo(deployment: Deployment, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Enrol, sign, verify, connect a centre, revoke, verify again; fail loudly if any verdict differs.

    Makes a deployment first where there is none, and serves it while the demo runs.

    Example: mohr demo --home var
    """
    if not deployment.exists():
        initialise(deployment, f"http://{LOOPBACK}:{free_pair(DEFAULT_PORT)}", None)
    story = play(deployment, say)
    if as_json:
        answer({"ok": True, "checks": story.checks})
    else:
        say(f"{len(story.checks)} checks, all as expected")
