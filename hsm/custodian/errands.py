"""Everything that is asked of a custodian but the signing of messages: looking, making, binding and proving keys.

What needs the device is written as a generator that yields what it asks and is sent what came of it; the loop
goes on meanwhile.
"""

from collections.abc import Callable, Generator
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol

from hsm.custodian.connection import Call
from hsm.custodian.journal import Journal
from hsm.custodian.key_records import KeyRecord, KeyRecords
from hsm.custodian.policy import Policy
from hsm.custodian.protocol import Operation, Request, pack_items
from hsm.custodian.purposes import check_issuer
from hsm.custodian.signing import HeldKey, prove
from hsm.device.calls import DeviceAnswer
from hsm.device.link import DeviceLink
from hsm.errors import (
    KeyAbsent,
    KeyExists,
    KeyMismatch,
    KeyNotFound,
    MechanismRefused,
    ProtocolViolation,
    RoleRefused,
)
from hsm.provider import HealthState, KeyInfo, KeyPurpose, check_label
from pki.errors import ErrorCode, InvalidInput, ServiceError
from pki.instants import parse_instant
from pki.jose import compact_json, json_object
from pki.journal import CLOCK
from pki.keys import DEFAULT_RSA_BITS, SignatureAlgorithm

MAX_JOURNAL_LINES: Final = 2000
RSA_SIZES: Final = frozenset({3072, 4096})
MAX_REFERENCE_OCTETS: Final = 255

Ask = Callable[[Callable[[Any], None]], None]
Errand = bytes | Generator[Ask, Any, bytes]


class Ended(Protocol):
    """Who is told how an errand ended: with a result or an error."""

    def __call__(self, call: Call, body: bytes | None, error: Exception | None, *, journalled: bool) -> None:
        """Take the end of an errand."""
        ...


class _Rule(NamedTuple):
    """Who may ask for it, what the journal calls it, and whether the journal names it when it was done."""

    run: Callable[[Request], Errand]
    act: str
    needs: str = ""
    journalled: bool = False


class Errands:
    """Do what is asked beside signing. `key` and `now` are the service's own."""

    def __init__(
        self,
        link: DeviceLink,
        records: KeyRecords,
        policy: Policy,
        journal: Journal,
        *,
        key: Callable[[str], HeldKey],
        now: Callable[[], datetime],
        accept_clock: Callable[[datetime], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._link, self._records, self._policy, self._journal = link, records, policy, journal
        self._key, self._now, self._monotonic = key, now, monotonic
        self._believe = accept_clock
        self._making: set[str] = set()
        self._rules: dict[Operation, _Rule] = {
            Operation.HEALTH: _Rule(self._health, "health"),
            Operation.KEYS: _Rule(self._keys, "keys"),
            Operation.PUBLIC_KEY: _Rule(self._public_key, "public-key"),
            Operation.GENERATE: _Rule(self._generate, "generate", "administer", journalled=True),
            Operation.SET_ISSUER: _Rule(self._set_issuer, "bind", "administer", journalled=True),
            Operation.ADOPT: _Rule(self._adopt, "adopt", "administer", journalled=True),
            Operation.PROVE: _Rule(self._prove, "prove", "administer", journalled=True),
            Operation.ATTRIBUTES: _Rule(self._attributes, "attributes", "administer"),
            Operation.USES: _Rule(self._uses, "uses", "administer"),
            Operation.JOURNAL: _Rule(self._read_journal, "journal", "journal"),
            Operation.ACCEPT_CLOCK: _Rule(self._accept_clock, CLOCK, "administer", journalled=True),
            Operation.JOURNAL_RELEASE: _Rule(self._release_journal, "journal-release", "journal"),
        }

    def begin(self, call: Call, request: Request, ended: Ended) -> None:
        """Do what is asked; `ended` is told the result, or ServiceError is raised for a refusal."""
        rule = self._rules[request.operation]
        call.act = rule.act
        if request.sealed:
            raise ProtocolViolation("only what is to be signed travels beside its frame")
        role = self._policy.role(call.connection.role)
        if (rule.needs == "administer" and not role.administer) or (rule.needs == "journal" and not role.journal):
            raise RoleRefused(f"a {call.connection.role} may not do this with this custodian")
        errand = rule.run(request)
        if isinstance(errand, bytes):
            ended(call, errand, None, journalled=rule.journalled)
        else:
            call.connection.alone = rule.needs != ""
            self._go_on(call, errand, rule, ended, None)

    def _go_on(self, call: Call, errand: Generator[Ask, Any, bytes], rule: _Rule, ended: Ended, sent: Any) -> None:
        """Let an errand do its next part with what came of the last."""
        try:
            ask = errand.send(sent)
        except StopIteration as done:
            ended(call, done.value, None, journalled=rule.journalled)
        except Exception as error:  # noqa: BLE001 - the service sorts it; nothing may end the loop
            ended(call, None, error, journalled=rule.journalled)
        else:
            ask(lambda came: self._go_on(call, errand, rule, ended, came))

    # --- looking ---

    def _health(self, _request: Request) -> Errand:
        if not self._link.available:
            return _health_json(self._link.reason or "the device is away")
        self._records.refresh()
        records = self._records.all()
        return self._see(records[0]) if records else _health_json(None)

    def _see(self, record: KeyRecord) -> Generator[Ask, Any, bytes]:
        reference, algorithm = bytes.fromhex(record.info.id), record.info.algorithm
        answer: DeviceAnswer = yield lambda done: self._link.public_key(reference, algorithm, done)
        if answer.error is None:
            return _health_json(None)
        return _health_json(answer.error.detail)

    def _keys(self, _request: Request) -> bytes:
        self._records.refresh()
        return compact_json({"keys": [_info_json(record.info) for record in self._records.all()]})

    def _public_key(self, request: Request) -> bytes:
        return self._key(request.label).record.spki_der

    def _attributes(self, request: Request) -> Generator[Ask, Any, bytes]:
        reference = self._key(request.label).reference
        answer: DeviceAnswer = yield lambda done: self._link.attributes(reference, done)
        return compact_json(dict(_value(answer)))

    def _uses(self, _request: Request) -> bytes:
        uses = {
            label: {"count": use.count, "last_at": use.last_at.isoformat()} for label, use in self._journal.uses.items()
        }
        return compact_json({"uses": uses})

    def _read_journal(self, request: Request) -> bytes:
        wish = json_object(request.body)
        after, limit = _number(wish.get("after")), _number(wish.get("limit"))
        sequence, hashed = self._journal.head
        head = compact_json({"sequence": sequence, "hash": hashed.hex()})
        return pack_items([head, *self._journal.read(after, min(limit, MAX_JOURNAL_LINES))])

    def _release_journal(self, request: Request) -> bytes:
        through = _number(json_object(request.body).get("through"))
        if through > self._journal.head[0]:
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, "the journal has no such entry yet")
        self._journal.release(through)
        return b""

    def _accept_clock(self, request: Request) -> bytes:
        read = json_object(request.body).get("now")
        if not isinstance(read, str):
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, "the instant that the operator read is expected")
        return compact_json({"accepted": self._believe(parse_instant(read)).isoformat()})

    # --- proving ---

    def _prove(self, request: Request) -> Generator[Ask, Any, bytes]:
        held, began = self._key(request.label), self._monotonic()
        yield from self._proved(held.reference, held.algorithm, held.record.spki_der)
        return compact_json({"public_key": held.record.spki_der.hex(), "seconds": self._monotonic() - began})

    def _proved(
        self, reference: bytes, algorithm: SignatureAlgorithm, spki_der: bytes
    ) -> Generator[Ask, ServiceError | None, None]:
        error = yield lambda done: prove(self._link, reference, algorithm, spki_der, done)
        if error is not None:
            raise error

    # --- administration ---

    def _generate(self, request: Request) -> Errand:
        wish = json_object(request.body)
        algorithm, purpose = _kind(wish)
        bits = wish.get("rsa_bits", DEFAULT_RSA_BITS)
        if type(bits) is not int or bits not in RSA_SIZES:
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, "RSA keys have 3072 or 4096 bits")
        self._records.refresh()
        self._records.check_free(request.label)
        if request.label in self._making:
            raise KeyExists(request.label)
        return self._make(request.label, algorithm, purpose, bits)

    def _make(
        self, label: str, algorithm: SignatureAlgorithm, purpose: KeyPurpose, bits: int
    ) -> Generator[Ask, Any, bytes]:
        self._making.add(label)
        try:
            answer: DeviceAnswer = yield lambda done: self._link.generate(label, algorithm, bits, done)
            reference, spki_der = _value(answer)
            self._record(label, reference, algorithm, purpose, spki_der)
        finally:
            self._making.discard(label)
        return bytes(spki_der)

    def _adopt(self, request: Request) -> Errand:
        wish = json_object(request.body)
        algorithm, purpose = _kind(wish)
        try:
            reference = bytes.fromhex(wish["reference"])
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, "a key's reference is in hexadecimal") from error
        if not 1 <= len(reference) <= MAX_REFERENCE_OCTETS:
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, f"a reference has 1 to {MAX_REFERENCE_OCTETS} octets")
        check_label(request.label)
        self._records.refresh()
        self._records.check_free(request.label)
        return self._adopt_seen(request.label, reference, algorithm, purpose)

    def _adopt_seen(
        self, label: str, reference: bytes, algorithm: SignatureAlgorithm, purpose: KeyPurpose
    ) -> Generator[Ask, Any, bytes]:
        answer: DeviceAnswer = yield lambda done: self._link.attributes(reference, done)
        said = _meant(answer)
        if (
            said.get("sensitive") is not True
            or said.get("extractable") is not False
            or said.get("always_sensitive", True) is not True
            or said.get("never_extractable", True) is not True
        ):
            raise MechanismRefused("the device does not promise that the key stays inside")
        if isinstance(pinned := said.get("reference"), str):
            reference = pinned.encode()  # a key store's latest version, when the wish named none
        answer = yield lambda done: self._link.public_key(reference, algorithm, done)
        spki_der = bytes(_meant(answer))
        yield from self._proved(reference, algorithm, spki_der)
        self._record(label, reference, algorithm, purpose, spki_der)
        return spki_der

    def _record(
        self, label: str, reference: bytes, algorithm: SignatureAlgorithm, purpose: KeyPurpose, spki_der: bytes
    ) -> None:
        info = KeyInfo(label=label, algorithm=algorithm, purpose=purpose, id=reference.hex(), created=self._now())
        self._records.add(KeyRecord(info=info, spki_der=spki_der))

    def _set_issuer(self, request: Request) -> bytes:
        self._records.refresh()
        check_issuer(self._records.get(request.label).info.purpose, request.body)
        self._records.set_issuer(request.label, request.body)
        return b""


def _value(answer: DeviceAnswer) -> Any:
    if answer.error is not None:
        raise answer.error
    return answer.value


def _meant(answer: DeviceAnswer) -> Any:
    """Return what the device says of a key that a person named: to wait does not make a wrong name right."""
    try:
        return _value(answer)
    except KeyAbsent as error:
        raise KeyNotFound(error.detail) from error
    except KeyMismatch as error:
        raise MechanismRefused(error.detail) from error


def _kind(wish: dict[str, Any]) -> tuple[SignatureAlgorithm, KeyPurpose]:
    try:
        return SignatureAlgorithm(wish["algorithm"]), KeyPurpose(wish["purpose"])
    except (KeyError, ValueError) as error:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "unknown algorithm or purpose") from error


def _number(value: object) -> int:
    if type(value) is not int or value < 0:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "a number from 0 is expected")
    return value


def _health_json(down: str | None) -> bytes:
    state = HealthState.OK if down is None else HealthState.DOWN
    return compact_json({"state": state, "detail": down or ""})


def _info_json(info: KeyInfo) -> dict[str, str]:
    return {
        "label": info.label,
        "algorithm": info.algorithm,
        "purpose": info.purpose,
        "id": info.id,
        "created": info.created.isoformat(),
    }
