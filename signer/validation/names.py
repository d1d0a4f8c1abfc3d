"""Names of strangers, for people to read."""

from pki.certificates import name_text
from signer.parsers.model import UNREADABLE


def readable_name(name_der: bytes) -> str:
    """Write a Name for people; a stranger's Name that has no structure is shown as such, never raised."""
    try:
        return name_text(name_der)
    except UNREADABLE:
        return "(unreadable name)"
