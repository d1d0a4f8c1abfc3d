"""How many custodians a deployment runs, and where each role reaches them."""

import os
from pathlib import Path
from typing import Final

from hsm.custodian.config import role_sockets
from webapp.deployment import Deployment

MOST_CUSTODIANS: Final = 4


def custodian_count() -> int:
    """How many custodians a deployment runs: one for each processor, within reason."""
    return min(os.cpu_count() or 1, MOST_CUSTODIANS)


def sockets_for(deployment: Deployment, role: str) -> tuple[Path, ...]:
    """Return where the deployment's custodians listen for `role`."""
    return role_sockets(deployment.custodian_sockets, role, custodian_count())
