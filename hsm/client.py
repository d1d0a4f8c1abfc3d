"""Talk to the custodians: a `KeyProvider` whose keys, PIN and module are in other processes.

Safe to share between threads. Each call has a deadline and ends by it with a result or HsmUnavailable,
whatever became of the custodians; see `hsm.custodian_sockets`.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from hsm.custodian.journal_segment import KeyUseCount
from hsm.custodian.protocol import (
    MAX_ITEMS,
    Operation,
    encode_request,
    encode_sealed_request,
    pack_items,
    unpack_items,
)
from hsm.custodian_sockets import CustodianSockets
from hsm.errors import HsmUnavailable, ProtocolViolation
from hsm.provider import Health, HealthState, KeyInfo, KeyPurpose
from hsm.sealed_memory import seal_in_memory
from pki.errors import InvalidInput
from pki.instants import format_instant
from pki.jose import compact_json, json_object
from pki.keys import DEFAULT_RSA_BITS, PublicKey, SignatureAlgorithm, SigningKey, algorithm_for
from pki.signatures import load_public_key

SIGN_TIMEOUT: Final = timedelta(seconds=1)
CEREMONY_TIMEOUT: Final = timedelta(seconds=20)  # where nobody else waits, and beginning anew costs people's time
GENERATE_TIMEOUT: Final = timedelta(seconds=60)
BATCH_ITEM_TIMEOUT: Final = timedelta(milliseconds=20)
LARGE_OCTETS: Final = 1024 * 1024
LARGE_MEBIBYTE_TIMEOUT: Final = timedelta(milliseconds=10)


class KeyProof(NamedTuple):
    """That a key signs now: its public half (DER) and the seconds that it took to find out."""

    public_key: bytes
    seconds: float


class JournalPart(NamedTuple):
    """Lines of one custodian's journal, and the sequence and hash of its last entry."""

    lines: tuple[bytes, ...]
    sequence: int
    hash: bytes


class CustodianKey:
    """A `SigningKey` whose private half the custodian holds; its public half is known here."""

    def __init__(
        self, client: "CustodianClient", label: str, public_key: PublicKey, algorithm: SignatureAlgorithm
    ) -> None:
        self._client, self._label, self._public_key = client, label, public_key
        self._algorithm = algorithm

    @property
    def label(self) -> str:
        """The name the custodian knows this key by."""
        return self._label

    @property
    def algorithm(self) -> SignatureAlgorithm:
        """Name the one algorithm this key signs with."""
        return self._algorithm

    def public_key(self) -> PublicKey:
        """Return the public half, without asking the custodian."""
        return self._public_key

    def sign(self, message: bytes) -> bytes:
        """Have the whole `message` read and signed; PurposeRefused, HsmUnavailable."""
        return self._client.sign(self._label, message)

    def sign_attributes(self, attributes: bytes, content: bytes) -> bytes:
        """Have signed attributes signed with the content they digest, which is read too."""
        return self._client.sign_content(self._label, attributes, content)


@contextmanager
def _readable() -> Iterator[None]:
    """Take what cannot be read in an answer for a custodian that is broken, not for a fault of the caller."""
    try:
        yield
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, InvalidInput) as error:
        raise HsmUnavailable("the custodian's answer cannot be read") from error


class CustodianClient:
    """Reach the custodians that listen on sockets of one role. Nothing is sent before the first call."""

    def __init__(
        self,
        sockets: Path | Sequence[Path],
        *,
        timeout: timedelta = SIGN_TIMEOUT,
        generate_timeout: timedelta = GENERATE_TIMEOUT,
    ) -> None:
        """`timeout` bounds each call but key generation.

        A batch has 20 ms more for each message, a large body 10 ms for each mebibyte.
        """
        self._sockets = CustodianSockets([sockets] if isinstance(sockets, Path) else sockets)
        self._timeout, self._generate_timeout = timeout.total_seconds(), generate_timeout.total_seconds()
        self._public_keys: dict[str, tuple[PublicKey, SignatureAlgorithm]] = {}

    # --- KeyProvider ---

    def signing_key(self, label: str) -> SigningKey:
        """Return the key that goes by `label`; its public half is asked for once."""
        found = self._public_keys.get(label)
        if found is None:
            answer = self._ask(Operation.PUBLIC_KEY, label)
            with _readable():
                public_key = load_public_key(answer)
            found = self._public_keys[label] = (public_key, self._algorithm_of(label, public_key))
        return CustodianKey(self, label, *found)

    def _algorithm_of(self, label: str, public_key: PublicKey) -> SignatureAlgorithm:
        default = algorithm_for(public_key)
        if default is not SignatureAlgorithm.RS256:
            return default
        # A public RSA key does not say which padding it signs with; its record does.
        return next((info.algorithm for info in self.keys() if info.label == label), default)

    def generate(
        self, label: str, algorithm: SignatureAlgorithm, purpose: KeyPurpose, rsa_bits: int = DEFAULT_RSA_BITS
    ) -> PublicKey:
        """Have a key made in the device. Never sent twice: after HsmUnavailable, `keys` tells what became of it."""
        wish = compact_json({"algorithm": algorithm, "purpose": purpose, "rsa_bits": rsa_bits})
        answer = self._ask(Operation.GENERATE, label, wish, timeout=self._generate_timeout, once=True)
        with _readable():
            return load_public_key(answer)

    def keys(self) -> tuple[KeyInfo, ...]:
        """List the keys, by label."""
        answer = self._ask(Operation.KEYS)
        with _readable():
            return tuple(
                KeyInfo(
                    label=member["label"],
                    algorithm=SignatureAlgorithm(member["algorithm"]),
                    purpose=KeyPurpose(member["purpose"]),
                    id=member["id"],
                    created=datetime.fromisoformat(member["created"]),
                )
                for member in json_object(answer)["keys"]
            )

    def health(self) -> Health:
        """Say whether keys can sign now; DOWN, with the reason, when no custodian answers."""
        return self._health(None)

    def healths(self) -> tuple[Health, ...]:
        """Say of each custodian whether it can sign now, in the order of their sockets."""
        return tuple(self._health(index) for index in range(self.custodians))

    @property
    def custodians(self) -> int:
        """How many custodians there may be."""
        return self._sockets.count

    def _health(self, index: int | None) -> Health:
        try:
            answer = self._ask(Operation.HEALTH, only=index)
            with _readable():
                said = json_object(answer)
                return Health(state=HealthState(said["state"]), detail=str(said["detail"]))
        except HsmUnavailable as error:
            return Health(state=HealthState.DOWN, detail=error.detail)

    def close(self) -> None:
        """Close the idle connections; the client can be used again."""
        self._sockets.close()

    # --- signing ---

    def sign(self, label: str, message: bytes) -> bytes:
        """Have one whole message read and signed; PurposeRefused, KeyNotFound, HsmUnavailable."""
        return self._ask(Operation.SIGN, label, message)

    def sign_many(self, label: str, messages: Sequence[bytes]) -> tuple[bytes, ...]:
        """Have messages read and signed in one round trip (at most 4096, 64 MB); all or none."""
        return self._sign_items(Operation.SIGN_BATCH, label, messages)

    def sign_digests(self, label: str, digests: Sequence[bytes]) -> tuple[bytes, ...]:
        """Have bare digests signed (at most 4096), which only keys for tokens and seals do; all or none."""
        return self._sign_items(Operation.SIGN_DIGESTS, label, digests)

    def _sign_items(self, operation: Operation, label: str, items: Sequence[bytes]) -> tuple[bytes, ...]:
        if len(items) > MAX_ITEMS:
            raise ProtocolViolation(f"at most {MAX_ITEMS} messages in one batch")
        if not items:
            return ()
        timeout = self._timeout + len(items) * BATCH_ITEM_TIMEOUT.total_seconds()
        answer = self._ask(operation, label, pack_items(items), timeout=timeout)
        with _readable():
            signatures = unpack_items(answer)
        if len(signatures) != len(items):
            raise HsmUnavailable("the custodian returned another number of signatures")
        return signatures

    def sign_content(self, label: str, attributes: bytes, content: bytes) -> bytes:
        """Have signed attributes (DER) signed, with the content they digest to be read as well."""
        return self._ask(Operation.SIGN_CONTENT, label, pack_items((attributes, content)))

    # --- administration ---

    def set_issuer(self, label: str, issuer_der: bytes) -> None:
        """Fix the issuer Name (DER) that what this key signs must carry; Conflict when one is fixed."""
        self._ask(Operation.SET_ISSUER, label, issuer_der, once=True)

    def adopt(self, label: str, reference: bytes, algorithm: SignatureAlgorithm, purpose: KeyPurpose) -> PublicKey:
        """Record a key that the device has already; MechanismRefused unless it says that the key never leaves."""
        wish = compact_json({"reference": reference.hex(), "algorithm": algorithm, "purpose": purpose})
        answer = self._ask(Operation.ADOPT, label, wish, once=True)
        with _readable():
            return load_public_key(answer)

    def prove(self, label: str) -> KeyProof:
        """Have the device show a key's public half and sign a probe with it now; KeyMismatch, HsmUnavailable."""
        answer = self._ask(Operation.PROVE, label)
        with _readable():
            said = json_object(answer)
            return KeyProof(bytes.fromhex(said["public_key"]), float(said["seconds"]))

    def attributes(self, label: str) -> Mapping[str, str | int | bool]:
        """Return what the device says of a key's private half."""
        answer = self._ask(Operation.ATTRIBUTES, label)
        with _readable():
            return json_object(answer)

    # --- journals ---

    def uses(self) -> Mapping[str, KeyUseCount]:
        """Return how often each key was used, by every custodian that answers; HsmUnavailable when none does."""
        found: dict[str, KeyUseCount] = {}
        failures: list[HsmUnavailable] = []
        for index in range(self.custodians):
            try:
                answer = self._ask(Operation.USES, only=index)
            except HsmUnavailable as error:
                failures.append(error)
                continue
            with _readable():
                for label, said in json_object(answer)["uses"].items():
                    use = KeyUseCount(said["count"], datetime.fromisoformat(said["last_at"]))
                    known = found.get(label, KeyUseCount(0, use.last_at))
                    found[label] = KeyUseCount(known.count + use.count, max(known.last_at, use.last_at))
        if len(failures) == self.custodians:
            raise failures[0]
        return found

    def journal(self, index: int, after: int, limit: int) -> JournalPart:
        """Return lines of the journal of one custodian, by its index, that follow entry `after`, oldest first."""
        answer = self._ask(Operation.JOURNAL, body=compact_json({"after": after, "limit": limit}), only=index)
        with _readable():
            head, *lines = unpack_items(answer)
            said = json_object(head)
            return JournalPart(tuple(lines), int(said["sequence"]), bytes.fromhex(said["hash"]))

    def release_journal(self, index: int, through: int) -> None:
        """Let one custodian, by its index, forget its entries up to `through`: they are safe elsewhere."""
        self._ask(Operation.JOURNAL_RELEASE, body=compact_json({"through": through}), only=index)

    # --- the clock ---

    def accept_clock(self, now: datetime) -> tuple[int, ...]:
        """Have every custodian believe its clock, which says `now`, whatever its journal says.

        Return the indexes of those that do not answer and so believe what they did; HsmUnavailable when none does.
        """
        silent: list[int] = []
        for index in range(self.custodians):
            try:
                self._ask(Operation.ACCEPT_CLOCK, body=compact_json({"now": format_instant(now)}), only=index)
            except HsmUnavailable as error:
                silent.append(index)
                if len(silent) == self.custodians:
                    raise error from None
        return tuple(silent)

    # --- asking ---

    def _ask(
        self,
        operation: Operation,
        label: str = "",
        body: bytes = b"",
        *,
        timeout: float | None = None,
        once: bool = False,
        only: int | None = None,
    ) -> bytes:
        timeout = self._timeout if timeout is None else timeout
        if len(body) <= LARGE_OCTETS:
            return self._sockets.ask(encode_request(operation, label, body), timeout, once=once, only=only)
        timeout += len(body) / LARGE_OCTETS * LARGE_MEBIBYTE_TIMEOUT.total_seconds()
        request = encode_sealed_request(operation, label)
        descriptor = seal_in_memory(body)
        try:
            return self._sockets.ask(request, timeout, descriptor=descriptor, once=once, only=only)
        finally:
            os.close(descriptor)
