"""What the custodian does with a request: look up, read, judge, sign. No sockets here.

A key is proved before its first signature of each connection to the device: the device must show the
recorded public key, and a signature over a probe must verify with it. A handle that was reused, or a
key replaced in the token, therefore never signs.
"""

from collections.abc import Callable, Generator
from functools import partial
from typing import Final

from hsm.custodian.key_records import KeyRecord, KeyRecords
from hsm.custodian.protocol import Operation, Request, pack_items, unpack_items
from hsm.custodian.purposes import SigningRule, check_issuer, check_message
from hsm.device import Device, device_input
from hsm.errors import HsmUnavailable, KeyMismatch, RoleRefused
from hsm.provider import HealthState, KeyInfo, KeyPurpose, spki_of
from hsm.recovery import Lifeline
from pki.clock import Clock
from pki.errors import ErrorCode, InvalidInput, VerificationFailed
from pki.jose import compact_json, json_object
from pki.keys import DEFAULT_RSA_BITS, SignatureAlgorithm, verify_signature, x509_signature

RSA_SIZES: Final = (3072, 4096)
ADMIN_OPERATIONS: Final = frozenset({Operation.GENERATE, Operation.SET_ISSUER})

# Signed to prove a key and then forgotten; the NUL makes it no kind of message that anyone verifies.
_PROBE: Final = b"\x00 mohr custodian probe"

Work = Generator[None, None, bytes]
Signer = Callable[[bytes], bytes]


class _HeldKey:
    """A recorded key and, for one connection to the device, what signs with it."""

    __slots__ = ("generation", "reference", "rule", "signer")

    def __init__(self, record: KeyRecord) -> None:
        self.reference = bytes.fromhex(record.info.id)
        self.rule = SigningRule(
            purpose=record.info.purpose,
            algorithm=record.info.algorithm,
            spki_der=record.spki_der,
            issuer_der=record.issuer_der,
        )
        self.generation = 0
        self.signer: Signer | None = None


class CustodianService:
    """Answer requests with the keys of one device. Used by one thread only."""

    def __init__(
        self,
        *,
        device: Device,
        records: KeyRecords,
        clock: Clock,
        monotonic: Callable[[], float],
    ) -> None:
        self._device, self._records = device, records
        self._clock = clock
        self._lifeline = Lifeline(device, monotonic)
        self._held: dict[str, _HeldKey] = {}
        self._operations: dict[Operation, Callable[[Request], bytes | Work]] = {
            Operation.HEALTH: self._health,
            Operation.KEYS: self._keys,
            Operation.PUBLIC_KEY: self._public_key,
            Operation.SIGN: self._sign,
            Operation.SIGN_BATCH: self._sign_batch,
            Operation.GENERATE: self._generate,
            Operation.SET_ISSUER: self._set_issuer,
        }

    def connect(self) -> None:
        """Connect to the device now rather than with the first request."""
        self._lifeline.connect()

    def close(self) -> None:
        """Let go of the device."""
        self._device.close()

    def answer(self, request: Request, *, admin: bool) -> bytes | Work:
        """Return the result's body, or work that is done in steps and returns it; ServiceError for a refusal.

        PinIncorrect means that the process must end: trying again could lock the device.
        """
        if request.operation in ADMIN_OPERATIONS and not admin:
            raise RoleRefused("only an administrator of this custodian may do this")
        return self._operations[request.operation](request)

    # --- reading ---

    def _health(self, _request: Request) -> bytes:
        try:
            self._lifeline.run(self._see_first_key)
        except HsmUnavailable as error:
            return compact_json({"state": HealthState.DOWN, "detail": error.detail})
        return compact_json({"state": HealthState.OK, "detail": ""})

    def _see_first_key(self) -> None:
        for record in self._records.all()[:1]:
            self._device.public_key(bytes.fromhex(record.info.id), record.info.algorithm)

    def _keys(self, _request: Request) -> bytes:
        return compact_json({"keys": [_info_json(record.info) for record in self._records.all()]})

    def _public_key(self, request: Request) -> bytes:
        return self._records.get(request.label).spki_der

    # --- signing ---

    def _key(self, label: str) -> _HeldKey:
        held = self._held.get(label)
        if held is None:
            held = self._held[label] = _HeldKey(self._records.get(label))
        return held

    def _sign(self, request: Request) -> bytes:
        held = self._key(request.label)
        check_message(held.rule, request.body)
        return self._sign_checked(held, request.body)

    def _sign_batch(self, request: Request) -> Work:
        held = self._key(request.label)
        messages = unpack_items(request.body)
        for message in messages:
            check_message(held.rule, message)
            yield
        signatures = []
        for message in messages:
            signatures.append(self._sign_checked(held, message))
            yield
        return pack_items(signatures)

    def _sign_checked(self, held: _HeldKey, message: bytes) -> bytes:
        return self._lifeline.run(lambda: self._proved_signer(held)(message))

    def _proved_signer(self, held: _HeldKey) -> Signer:
        if held.signer is None or held.generation != self._lifeline.generation:
            held.signer = self._prove(held)
            held.generation = self._lifeline.generation
        return held.signer

    def _prove(self, held: _HeldKey) -> Signer:
        public_key = self._device.public_key(held.reference, held.rule.algorithm)
        if spki_of(public_key) != held.rule.spki_der:
            raise KeyMismatch("the device shows another public key than the recorded one")
        signer = partial(self._sign_message, held)
        try:
            verify_signature(public_key, signer(_PROBE), _PROBE, held.rule.algorithm)
        except VerificationFailed as error:
            raise KeyMismatch("the device signs with another key than the one it shows") from error
        return signer

    def _sign_message(self, held: _HeldKey, message: bytes) -> bytes:
        algorithm = held.rule.algorithm
        (value,) = self._device.sign(held.reference, algorithm, [device_input(algorithm, message)])
        return x509_signature(algorithm, value)

    # --- administration ---

    def _generate(self, request: Request) -> bytes:
        wish = json_object(request.body)
        try:
            algorithm, purpose = SignatureAlgorithm(wish["algorithm"]), KeyPurpose(wish["purpose"])
        except (KeyError, ValueError) as error:
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, "unknown algorithm or purpose") from error
        rsa_bits = wish.get("rsa_bits", DEFAULT_RSA_BITS)
        if rsa_bits not in RSA_SIZES:
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, "unknown size of an RSA key")
        self._records.check_free(request.label)
        generated = self._lifeline.run(lambda: self._device.generate(request.label, algorithm, rsa_bits))
        record = KeyRecord(
            info=KeyInfo(
                label=request.label,
                algorithm=algorithm,
                purpose=purpose,
                id=generated.reference.hex(),
                created=self._clock.now(),
            ),
            spki_der=spki_of(generated.public_key),
        )
        self._records.add(record)
        return record.spki_der

    def _set_issuer(self, request: Request) -> bytes:
        check_issuer(self._records.get(request.label).info.purpose, request.body)
        self._held[request.label] = _HeldKey(self._records.set_issuer(request.label, request.body))
        return b""


def _info_json(info: KeyInfo) -> dict[str, str]:
    return {
        "label": info.label,
        "algorithm": info.algorithm,
        "purpose": info.purpose,
        "id": info.id,
        "created": info.created.isoformat(),
    }
