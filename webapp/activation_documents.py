"""How activations are told, by command and by route; no code is ever in one."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from ca.activation.desk import CHANNELS
from ca.activation.records import Activation
from ca.holder_codes.codes import grouped
from ca.holder_codes.records import MAX_TRIES
from pki.instants import format_instant


def activation_members(activation: Activation, now: datetime, waiting: Sequence[str]) -> dict[str, Any]:
    """Write an activation as it stands, with the serial numbers that wait for it."""
    return {
        "activation": grouped(activation.id),
        "file": activation.file_id,
        "state": str(activation.state(now)),
        "channels": list(CHANNELS),
        "made_by": activation.made_by,
        "made_at": format_instant(activation.made_at),
        "sent_at": None if activation.sent_at is None else format_instant(activation.sent_at),
        "expires_at": format_instant(activation.expires_at),
        "tries_left": max(MAX_TRIES - activation.tries, 0),
        "done_at": None if activation.done_at is None else format_instant(activation.done_at),
        "waiting": list(waiting),
    }
