"""`mohr hsm keep-pin`: from a PIN in a file to a PIN that people unlock."""

import hmac
import secrets
from pathlib import Path

import click

from hsm.errors import PinIncorrect
from hsm.sharing.pin_shares import split_pin
from webapp.commands.options import answer, home_option
from webapp.commands.secret_prompts import ask_secret
from webapp.commands.share_delivery import check_delivery, custodian_names, deliver, share_options
from webapp.compose import RealClock
from webapp.deployment import Deployment
from webapp.pin_keeping import move_to_keeper, read_service_pin


@click.command("keep-pin")
@home_option
@share_options
@click.option("--by-hand", is_flag=True, help="No shares: the PIN itself is typed, now to prove that it is known.")
def keep_pin(
    deployment: Deployment,
    *,
    shares: int,
    threshold: int,
    custodians: tuple[str, ...],
    share_files: Path | None,
    by_hand: bool,
) -> None:
    """Remove the service token's PIN from its file: from the next start on, people unlock it (`mohr hsm unlock`).

    Example: mohr hsm keep-pin --shares 3 --threshold 2
    """
    deployment.settings()
    with read_service_pin(deployment) as pin:
        if by_hand:
            if not hmac.compare_digest(ask_secret("PIN").encode(), pin.reveal().encode()):
                raise PinIncorrect("what was typed is not the PIN in the file")
            share_set = None
        else:
            names = custodian_names(shares, custodians)
            check_delivery(share_files)
            share_set, parts = split_pin(
                pin,
                threshold=threshold,
                custodians=names,
                about="PIN of the service token",
                created=RealClock().now(),
                random_octets=secrets.token_bytes,
            )
            deliver(share_set, parts, share_files)
    move_to_keeper(deployment, share_set)
    answer({"pin": "keeper", "ceremony": None if share_set is None else share_set.name})
