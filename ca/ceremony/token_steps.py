"""Steps on tokens: made with their PIN divided, used as they are, unlocked."""

from pathlib import Path
from types import MappingProxyType
from typing import Any

from ca.ceremony.custodians import hand_out
from ca.ceremony.grammar import SERVICE, MakeToken, PinCustody, Unlock, UseToken
from ca.ceremony.room import StepRoom
from ca.ceremony.tokens import TokenPlace, TokenRecord, read_record, write_record
from hsm.sharing.pin_shares import split_pin
from pki.errors import Conflict, ErrorCode

Facts = dict[str, Any]
MADE_ELSEWHERE = "a token of this name is here already"


def make_token(step: MakeToken, room: StepRoom) -> Facts:
    """Make a token; one whose PIN is divided counts from when the last custodian confirmed their share."""
    if step.pin is PinCustody.FILE:
        room.home.make_service_token(step.label)
        return {"token": step.token, "label": step.label, "pin": step.pin.value}
    place = room.place(step.token)
    record = read_record(place)
    if record is None:
        record = _make_divided(step, room, place)
    elif record.shares is None or room.notes.noted("set") != record.shares.name:
        raise Conflict(ErrorCode.CONFLICT, MADE_ELSEWHERE)
    return {**_facts(step.token, record), "pin": step.pin.value}


def _make_divided(step: MakeToken, room: StepRoom, place: TokenPlace) -> TokenRecord:
    """Make the token, divide its PIN and hand the shares out; what an earlier try left has no key and goes."""
    if room.notes.noted("making") is None:
        if place.token.exists():
            raise Conflict(ErrorCode.CONFLICT, MADE_ELSEWHERE)
        room.notes.note(making=step.token)
    record, pin = room.workshop.make(place, step.label)
    with pin:
        share_set, shares = split_pin(
            pin,
            threshold=room.script.threshold,
            custodians=room.script.custodians,
            about=f"PIN of token {step.label}, ceremony {room.script.name}",
            created=room.clock.now(),
            random_octets=room.random_bytes,
        )
    room.notes.note(set=share_set.name)
    hand_out(room.console, share_set, shares, room.told)
    divided = TokenRecord(module=record.module, label=record.label, environment=record.environment, shares=share_set)
    write_record(place, divided)
    return divided


def use_token(step: UseToken, room: StepRoom) -> Facts:
    """Take a token that is there; its record is written when it has none."""
    if step.token == SERVICE:
        return {"token": SERVICE, "label": step.label}
    place = room.place(step.token)
    record = read_record(place)
    if record is None:
        if step.module is None:
            record = room.workshop.find(place, step.label)
        else:
            environment = MappingProxyType(dict(step.environment))
            record = TokenRecord(module=Path(step.module), label=step.label, environment=environment)
        write_record(place, record)
    elif record.label != step.label or (step.module is not None and str(record.module) != step.module):
        raise Conflict(ErrorCode.CONFLICT, f"the token {step.token} of this home has another label or module")
    return _facts(step.token, record)


def unlock(step: Unlock, room: StepRoom) -> Facts:
    """Open a token now."""
    return {"token": step.token, "keys": len(room.keys(step.token).keys())}


def _facts(token: str, record: TokenRecord) -> Facts:
    shares = None if record.shares is None else record.shares.members()
    return {"token": token, "label": record.label, "module": str(record.module), "shares": shares}
