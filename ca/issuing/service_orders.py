"""What the deployment orders for its own services: no officer asks, and no registration file decides."""

from dataclasses import dataclass

from ca.context import Authority
from ca.subjects import Subject
from pki.signatures import AnyPublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOrder:
    """A certificate of a service: whose it is in the register (`holder`, `name`), and for which key.

    `predecessor` is the serial number of the one that it used before. `file_id` is the file that one was made by, in
    whatever state it is now. `unapproved`: that one is marked so.
    """

    holder: str
    name: str
    profile: str
    authority: Authority
    subject: Subject
    public_key: AnyPublicKey
    predecessor: str
    file_id: str | None = None
    hardware: bool = True
    unapproved: bool = False
