"""Holding a ceremony: each step written down before and after, so that a ceremony that broke off goes on.

The script's digest is read aloud first, also when a ceremony is resumed. A step that was begun and not finished is
carried out again: each step finds what it made before and takes it. At the end the transcript is signed by the
home's service seal, and its digest goes to the ledger.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ca import certificate_queries
from ca.ceremony.console import Console, must_confirm, read_aloud
from ca.ceremony.errors import ScriptRefused
from ca.ceremony.home import Home
from ca.ceremony.register import Register
from ca.ceremony.room import StepRoom, actor_of
from ca.ceremony.script import Script
from ca.ceremony.state import CeremonyState
from ca.ceremony.steps import carry_out
from ca.ceremony.tokens import Tokens, Workshop
from ca.ceremony.transcript import EntryAct, Transcript
from ca.hierarchy import SERVICE_SEAL, SERVICES
from ca.inventory.search import Search
from ca.profiles import IssuerName, ProfileName
from hsm.private_files import write_private
from pki.audit import AuditAction
from pki.certificates import Certificate
from pki.clock import Clock
from pki.errors import Conflict, ErrorCode, ServiceError
from pki.instants import format_instant

SCRIPT_NAME: Final = "script.toml"
TRANSCRIPT_NAME: Final = "transcript.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Where a ceremony is held."""

    console: Console
    home: Home
    workshop: Workshop
    clock: Clock
    operator: str
    random_bytes: Callable[[int], bytes] = secrets.token_bytes
    rehearsal: bool = False


class _StepNotes:
    """What one step notes of itself in the transcript."""

    def __init__(self, transcript: Transcript, clock: Clock, number: int) -> None:
        self._transcript, self._clock, self._number = transcript, clock, number

    def noted(self, name: str) -> str | None:
        value = CeremonyState.of(self._transcript.entries).step(self._number).facts.get(name)
        return None if value is None else str(value)

    def note(self, **facts: str | int | bool) -> None:
        self._transcript.append(EntryAct.NOTED, self._clock.now(), facts, self._number)


def hold(script: Script, room: Room) -> str:
    """Hold or resume a ceremony to its end; return the SHA-256 of its signed transcript, in hexadecimal.

    ScriptRefused for another script than the ceremony began with, CeremonyStopped where persons stop it, and the
    errors of devices and register; after each of them but the first the same script goes on.
    """
    with Transcript.opened(room.home.folder(script.name) / TRANSCRIPT_NAME) as transcript:
        if not transcript.signed:
            _begin(script, room, transcript)
            _carry_out_steps(script, room, transcript)
            _close(room, transcript)
        elif CeremonyState.of(transcript.entries).script != script.sha256.hex():
            raise ScriptRefused("a ceremony of this name was held with another script")
        else:
            held = format_instant(transcript.entries[-1].at)
            room.console.say(
                f"this ceremony was held until {held}, and nothing is done again; a new one has a new name"
            )
        _write_to_ledger(script, room, transcript)
        return transcript.digest()


def _begin(script: Script, room: Room, transcript: Transcript) -> None:
    state, digest = CeremonyState.of(transcript.entries), script.sha256.hex()
    if state.script not in (None, digest):
        raise ScriptRefused("this is not the script that the ceremony began with")
    if state.closed:
        return
    room.console.say(f"Ceremony {script.name}: {script.purpose}")
    read_aloud(room.console, "the script", script.sha256, script.witnesses[0])
    session = {"script": digest, "operator": room.operator, "rehearsal": room.rehearsal}
    if state.script is None:
        write_private(room.home.folder(script.name) / SCRIPT_NAME, script.source)
        must_confirm(room.console, f"Begin {script.name}, {len(script.steps)} steps?", "the ceremony was not begun")
        facts = {
            "name": script.name,
            "purpose": script.purpose,
            "custodians": list(script.custodians),
            "threshold": script.threshold,
            "witnesses": list(script.witnesses),
            "steps": list(script.kinds),
        }
        transcript.append(EntryAct.OPENED, room.clock.now(), {**session, **facts})
    else:
        transcript.append(EntryAct.RESUMED, room.clock.now(), session)


def _carry_out_steps(script: Script, room: Room, transcript: Transcript) -> None:
    with Tokens(room.console, room.workshop, room.home.service_keys) as tokens:
        for number, step in enumerate(script.steps, 1):
            state = CeremonyState.of(transcript.entries).step(number)
            if state.done:
                continue
            kind = script.kinds[number - 1]
            room.console.say(f"Step {number} of {len(script.steps)}: {kind}")
            if not state.begun:
                transcript.append(EntryAct.STEP_BEGUN, room.clock.now(), {"kind": kind}, number)
            inside = StepRoom(
                script=script,
                console=room.console,
                home=room.home,
                tokens=tokens,
                workshop=room.workshop,
                clock=room.clock,
                random_bytes=room.random_bytes,
                notes=_StepNotes(transcript, room.clock, number),
            )
            try:
                facts = carry_out(step, inside)
            except ServiceError as error:
                transcript.append(EntryAct.STOPPED, room.clock.now(), {"code": error.code.value}, number)
                raise
            transcript.append(EntryAct.STEP_DONE, room.clock.now(), facts, number)
        for (
            name,
            keys,
        ) in tokens.opened():  # what a ceremony that stops leaves is taken by the next that opens the token
            room.home.take_journal(name, keys)


def _close(room: Room, transcript: Transcript) -> None:
    if not CeremonyState.of(transcript.entries).closed:
        transcript.append(EntryAct.CLOSED, room.clock.now(), {})
    with room.home.database.read() as connection:
        seal = certificate_queries.named(connection).get(SERVICE_SEAL)
        holder = next(service.issuer.value for service in SERVICES if service.name == SERVICE_SEAL)
        wanted = Search(profile=ProfileName.ISSUING_CA, holder=holder)
        issuers = certificate_queries.page(connection, wanted)
        own_root = IssuerName.ROOT.value in certificate_queries.named(connection)
        parents = certificate_queries.parents_of(connection, holder)
    if seal is None:
        raise Conflict(ErrorCode.CONFLICT, "this home has no service seal to sign the transcript with")
    certificate = Certificate.parse(seal.der)
    # The root's certificate for it, also where a parent's is in use: the pilot root anchors the deployment's records.
    issuer = IssuerName.ROOT if own_root else IssuerName.PARENT
    above = [Certificate.parse(one.der) for one in issuers if one.issuer is issuer and one.der is not None]
    own = [one for one in above if one.subject_key_identifier == certificate.authority_key_identifier]
    chain = [certificate, *own[:1], *(() if own_root else map(Certificate.parse, parents[:-1]))]
    with room.home.service_keys() as keys:
        transcript.sign(keys.signing_key(seal.key_label), chain)


def _write_to_ledger(script: Script, room: Room, transcript: Transcript) -> None:
    register = Register(
        database=room.home.database,
        settings=room.home.settings,
        clock=room.clock,
        random_bytes=room.random_bytes,
        actor=actor_of(script),
    )
    register.tell_once(
        AuditAction.CEREMONY_HELD,
        script.name,
        sha256=transcript.digest(),
        script=script.sha256.hex(),
        rehearsal=room.rehearsal,
    )
