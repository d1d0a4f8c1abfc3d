"""Who acts by a command: the officer named, or in a pilot one whose key it keeps."""

from ca.officers.identity import Act, Officer
from webapp.commands.options import say
from webapp.compose import Parts
from webapp.officers import Signatory, kept_signatory


def acting_officer(parts: Parts, named: Signatory | None, act: Act, *, subject: str = "", digest: str = "") -> Officer:
    """Let an officer sign that `act` is to be done on `subject`, and tell who did where none was named.

    NotAllowed as `Signatory.say` and `kept_signatory`.
    """
    signatory = kept_signatory(parts.deployment, parts.officers, act) if named is None else named
    officer = signatory.say(parts.gate, parts.clock, act, subject=subject, digest=digest)
    if named is None:
        say(f"{officer.id} signs: {act}")
    return officer
