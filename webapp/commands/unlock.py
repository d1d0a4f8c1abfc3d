"""`mohr hsm unlock`: give the keeper the PIN that the custodian waits for, or have it forgotten."""

from collections.abc import Callable

import click

from hsm.errors import HsmUnavailable, ShareRepeated, ShareWrong
from hsm.keeper.client import KeeperOperator
from hsm.keeper.config import keeper_socket
from hsm.keeper.protocol import KeeperRole, KeeperState
from hsm.pin import Pin
from hsm.sharing.shares import Share
from pki.errors import Conflict, ErrorCode
from pki.messages import sentence
from webapp.commands.options import answer, home_option, say
from webapp.commands.secret_prompts import ask_secret, ask_share
from webapp.deployment import Deployment
from webapp.pin_keeping import keeps_pin


def unlock_with_pin(operator: KeeperOperator, ask: Callable[[str], str]) -> KeeperState:
    """Ask for the PIN and give it to the keeper; PinMalformed, HsmUnavailable."""
    with Pin(ask("PIN").encode()) as pin:
        return operator.unlock(pin)


def unlock_with_shares(operator: KeeperOperator, ask: Callable[[str], Share]) -> KeeperState:
    """Ask for shares one after the other until the keeper has the PIN; a wrong one is named and asked for again."""
    state = operator.state()
    say(f"{state.about}: ceremony {state.ceremony}, {state.threshold} shares open it")
    while state.locked:
        with ask(f"share ({state.missing} more needed)") as share:
            try:
                state = operator.add_share(share)
            except (ShareWrong, ShareRepeated) as error:
                say(sentence(error))
    return state


@click.command()
@home_option
@click.option("--pin", "by_pin", is_flag=True, help="Type the PIN itself, even where shares open the keeper.")
@click.option("--forget", is_flag=True, help="Have PIN and shares wiped: the custodian cannot log in any more.")
def unlock(deployment: Deployment, *, by_pin: bool, forget: bool) -> None:
    """Give the keeper the token's PIN, or its shares one a line; nothing typed is shown.

    Example: mohr hsm unlock --home var
    """
    operator = KeeperOperator(keeper_socket(deployment.keeper_sockets, KeeperRole.OPERATOR))
    try:
        state = operator.state()
    except HsmUnavailable:
        _say_why_there_is_none(deployment)
        raise
    if forget:
        state = operator.forget()
    elif by_pin or not state.threshold:
        state = unlock_with_pin(operator, ask_secret)
        say("the keeper has it; whether the token takes it: mohr hsm check")
    elif state.locked:
        state = unlock_with_shares(operator, ask_share)
    else:
        say("the keeper has a PIN already; one that the token refuses is wiped by --forget, and given anew")
    answer({"locked": state.locked})


def _say_why_there_is_none(deployment: Deployment) -> None:
    """Raise what keeps a keeper from running here, if it is more than that nobody serves."""
    deployment.settings()
    if not keeps_pin(deployment):
        raise Conflict(ErrorCode.CONFLICT, "the PIN is in its file; `mohr hsm keep-pin` gives it to people")
    if not deployment.keeper_config.exists() and deployment.is_served():
        raise Conflict(
            ErrorCode.CONFLICT, "the PIN went to people while this was served: its keeper begins with the next start"
        )
