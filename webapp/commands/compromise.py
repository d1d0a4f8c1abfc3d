"""`mohr ca compromised`: what is done, step by step, when the key of an issuing authority is in strangers' hands."""

from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click

from ca.officers.identity import Act
from ca.profiles import IssuerName
from ca.status.acts.compromise import BATCH, Compromise, authority_named
from hsm.private_files import write_private
from pki.certificates import Certificate
from pki.errors import Conflict, ErrorCode, InvalidInput, Unavailable
from pki.instants import format_instant, parse_instant
from signer.files import read_file
from webapp.commands.acting import acting_officer
from webapp.commands.options import answer, home_option, perhaps_officer_option, say
from webapp.compose import Parts, opened_parts
from webapp.compromise_script import ceremony_script, fingerprints, since_line, told
from webapp.deployment import Deployment
from webapp.officers import Signatory

PROGRESS: Final = 10  # batches
MAX_SCRIPT_OCTETS: Final = 1024 * 1024


@click.command()
@home_option
@perhaps_officer_option
@click.argument("authority")
@click.option("--since", metavar="RFC3339", help="Since when, as far as is known; for the root's list.")
@click.option("--withdraw", is_flag=True, help="Take back a declaration that was not confirmed.")
@click.option("--officers-too", is_flag=True, help="Also officers' own certificates, once they have others.")
def compromised(
    deployment: Deployment,
    officer: Signatory | None,
    authority: str,
    since: str | None,
    withdraw: bool,  # noqa: FBT001 - click passes options by name
    officers_too: bool,  # noqa: FBT001
) -> None:
    """Close the issuing AUTHORITY whose key is compromised, and revoke everything below it.

    The first officer's word closes it, a second's revokes; given again it goes on where it stopped, and needs no
    officer then. It writes the root's ceremony. Example: mohr ca compromised persons --officer officer-akbari
    """
    name, when = authority_named(authority).value, None if since is None else parse_instant(since)
    with opened_parts(deployment) as parts:
        if when is not None and when > parts.clock.now():
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, "--since lies in the future")
        if withdraw:
            by = acting_officer(parts, officer, Act.COMPROMISE_WITHDRAW, subject=name)
            parts.compromises.withdraw(name, by)
            answer({"authority": name, "stage": "withdrawn"})
            return
        found = _two_words(parts, name, officer)
        revoked = 0
        if found.confirmed_at is not None:
            revoked = _revoke_all(parts, name, officers_too=officers_too)
            found = parts.compromises.standing(name) or found
        elif when is not None:
            say("--since goes into the root's ceremony: give it again with the second officer's word")
        answer(_members(parts, found, revoked, when))


def _two_words(parts: Parts, name: str, officer: Signatory | None) -> Compromise:
    """Let an officer say the next of the two words; return where it stands then."""
    act, found = parts.compromises.act_of(name), parts.compromises.standing(name)
    if act is None and found is not None:
        return found
    if officer is None:
        if act is Act.COMPROMISE_CONFIRM and found is not None:
            say("closed; a second officer has to confirm it")
            return found
        raise click.UsageError("name the --officer, or give --officer-key and --officer-cert")
    return parts.compromises.say(name, acting_officer(parts, officer, act or Act.COMPROMISE_DECLARE, subject=name))


def _revoke_all(parts: Parts, name: str, *, officers_too: bool) -> int:
    """Revoke batch after batch, make it felt, and publish every list of the authority once more."""
    revoked = batches = after = 0
    while True:
        done, after = parts.compromises.revoke_batch(name, after=after, limit=BATCH, officers_too=officers_too)
        revoked, batches = revoked + done, batches + 1
        if done < BATCH:
            break
        if batches % PROGRESS == 0:
            say(f"{revoked} revoked")
            _withdraw_answers(parts)
    _withdraw_answers(parts)
    for shard in parts.authority.shards_of(name):
        parts.publish_new_crl(name, shard)
    return revoked


def _withdraw_answers(parts: Parts) -> None:
    """Take away the answers that are untrue by now; where that fails servers do so, and lists are published anyway."""
    try:
        parts.authority.follow_changes()
    except Unavailable as error:
        say(f"stored OCSP answers are left to the servers: {error.detail}")


def _members(parts: Parts, found: Compromise, revoked: int, since: datetime | None) -> dict[str, Any]:
    der = parts.authority.named_certificate(found.authority.value)
    if der is None:
        raise Conflict(ErrorCode.CONFLICT, f"the register has no certificate of {found.authority}")
    certificate = Certificate.parse(der)
    state = parts.authority.get(certificate.serial_hex).state
    own_root = parts.deployment.certificate_file(IssuerName.ROOT).exists()
    script = _script(parts, found.authority, certificate, since) if own_root and found.confirmed_at else None
    return {
        "authority": found.authority.value,
        "stage": "declared" if found.confirmed_at is None else "revoking" if found.left else "revoked",
        "declared_by": found.declared_by,
        "declared_at": format_instant(found.declared_at),
        "confirmed_by": found.confirmed_by,
        "confirmed_at": None if found.confirmed_at is None else format_instant(found.confirmed_at),
        "revoked": revoked,
        "left": found.left,
        "left_of_officers": found.officers,
        "lists": len(parts.authority.shards_of(found.authority.value)),
        "certificate": fingerprints(certificate, state.value),
        "ceremony": None if script is None else str(script),
        "next": _next(found, script, own_root=own_root, revoked=state.value == "revoked"),
        "tell": told(certificate, own_root=own_root),
    }


def _script(parts: Parts, authority: IssuerName, certificate: Certificate, since: datetime | None) -> Path:
    """Write the root's ceremony, unless somebody may have reviewed it already."""
    path = parts.deployment.home / "ceremonies" / f"compromise-{authority}.toml"
    if not path.exists():
        path.parent.mkdir(mode=0o700, exist_ok=True)
        write_private(path, ceremony_script(authority, certificate, parts.clock.now(), since))
    elif since is not None and since_line(since).encode() not in read_file(path, limit=MAX_SCRIPT_OCTETS):
        say(f"{path} stays as it was written; put in it: {since_line(since)}")
    return path


def _next(found: Compromise, script: Path | None, *, own_root: bool, revoked: bool) -> list[str]:
    """Say what is still to be done, and by whom."""
    if found.confirmed_at is None:
        return [
            f"a second officer: mohr ca compromised {found.authority} --officer ID",
            f"in error: mohr ca compromised {found.authority} --withdraw --officer ID, by a second officer",
        ]
    steps = []
    if not revoked:
        steps.append(
            f"the root's custodians: review {script}, then mohr hsm ceremony {script}"
            if own_root and script is not None
            else f"the parent CA: have it revoke {found.authority} for cACompromise and publish its list"
        )
    if found.left > found.officers:
        steps.append(f"go on: mohr ca compromised {found.authority}")
    if found.officers:
        steps.append(f"officers: new certificates, then mohr ca compromised {found.authority} --officers-too")
    steps.append("relying parties: tell them what `tell` says, by a way of its own")
    return steps
