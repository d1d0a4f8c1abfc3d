"""How suspensions by the holder are told, by command and by route; no code is ever in one."""

from typing import Any

from ca.status.acts.records import Suspended, SuspensionCode
from ca.status.acts.suspension import CHANNEL
from pki.instants import format_instant
from webapp.certificate_documents import certificate_members


def suspended_members(done: Suspended) -> dict[str, Any]:
    """Write what a code suspended."""
    return {
        "file": done.file_id,
        "at": format_instant(done.at),
        "suspended": [certificate_members(record) for record in done.changed],
        "before": [certificate_members(record) for record in done.before],
    }


def suspension_code_members(code: SuspensionCode) -> dict[str, Any]:
    """Write that a file's holder has a code."""
    return {
        "file": code.file_id,
        "channel": CHANNEL,
        "made_by": code.made_by,
        "made_at": format_instant(code.made_at),
        "sent_at": None if code.sent_at is None else format_instant(code.sent_at),
    }
