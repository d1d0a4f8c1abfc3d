"""Talk to a custodian: a `KeyProvider` whose keys, PIN and module are in another process.

Safe to share between threads: each call takes a connection of its own from a small pool. Each call has
a deadline and ends by it with a result or HsmUnavailable, whatever became of the custodian; a custodian
that was restarted is found again by the same client.
"""

import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from hsm.custodian.protocol import (
    MAX_ITEMS,
    FrameReader,
    Operation,
    decode_answer,
    encode_request,
    pack_items,
    unpack_items,
)
from hsm.errors import HsmUnavailable, ProtocolViolation
from hsm.provider import Health, HealthState, KeyInfo, KeyPurpose
from hsm.socket_address import socket_address
from pki.errors import InvalidInput
from pki.jose import compact_json, json_object
from pki.keys import DEFAULT_RSA_BITS, PublicKey, SignatureAlgorithm, SigningKey, algorithm_for
from pki.signatures import load_public_key

SIGN_TIMEOUT: Final = timedelta(seconds=1)
GENERATE_TIMEOUT: Final = timedelta(seconds=30)
BATCH_ITEM_TIMEOUT: Final = timedelta(milliseconds=20)
MAX_CONNECTIONS: Final = 16
_RECEIVE_OCTETS: Final = 256 * 1024


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


class _Connection:
    """One connection with one request under way at most."""

    def __init__(self, path: Path, deadline: float) -> None:
        self._reader = FrameReader()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(_remaining(deadline))
            with socket_address(path) as address:
                self._socket.connect(address)
        except OSError:
            self._socket.close()
            raise

    def exchange(self, request: bytes, deadline: float) -> bytes:
        """Send a frame and return the payload of the answer; OSError when the custodian does not answer."""
        try:
            self._socket.settimeout(_remaining(deadline))
            self._socket.sendall(request)
        except BrokenPipeError:
            # A custodian that refuses us says why before it closes: what it said can still be read.
            self._socket.settimeout(_remaining(deadline))
        while True:
            data = self._socket.recv(_RECEIVE_OCTETS)
            if not data:
                raise ConnectionResetError("the custodian closed the connection")
            try:
                frames = self._reader.feed(data)
            except ProtocolViolation as error:
                raise HsmUnavailable("the custodian breaks the protocol") from error
            if len(frames) == 1 and not self._reader.size:
                return frames[0]
            if frames:
                raise HsmUnavailable("the custodian gave more than one answer")
            self._socket.settimeout(_remaining(deadline))

    def close(self) -> None:
        self._socket.close()


def _remaining(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("deadline passed")
    return left


@contextmanager
def _readable() -> Iterator[None]:
    """Take what cannot be read in an answer for a custodian that is broken, not for a fault of the caller."""
    try:
        yield
    except (KeyError, TypeError, ValueError, InvalidInput) as error:
        raise HsmUnavailable("the custodian's answer cannot be read") from error


class CustodianClient:
    """Reach the custodian that listens on a socket. Nothing is sent before the first call."""

    def __init__(
        self, socket_path: Path, *, timeout: timedelta = SIGN_TIMEOUT, generate_timeout: timedelta = GENERATE_TIMEOUT
    ) -> None:
        """`timeout` bounds each call but key generation; a batch has 20 ms more for each message."""
        self._path = socket_path
        self._timeout, self._generate_timeout = timeout.total_seconds(), generate_timeout.total_seconds()
        self._public_keys: dict[str, tuple[PublicKey, SignatureAlgorithm]] = {}
        self._idle: list[_Connection] = []
        self._start_pool()

    def _start_pool(self) -> None:
        """Begin with no connection: at first, and in a forked child, whose inherited ones are its parent's."""
        for connection in self._idle:
            connection.close()
        self._idle = []
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._owner = os.getpid()

    # --- KeyProvider ---

    def signing_key(self, label: str) -> SigningKey:
        """Return the key that goes by `label`; its public half is asked for once."""
        found = self._public_keys.get(label)
        if found is None:
            answer = self._ask(Operation.PUBLIC_KEY, label, b"", self._timeout)
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
        answer = self._ask(Operation.GENERATE, label, wish, self._generate_timeout, once=True)
        with _readable():
            return load_public_key(answer)

    def keys(self) -> tuple[KeyInfo, ...]:
        """List the keys, by label."""
        answer = self._ask(Operation.KEYS, "", b"", self._timeout)
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
        """Say whether keys can sign now; DOWN, with the reason, when the custodian does not answer."""
        try:
            answer = self._ask(Operation.HEALTH, "", b"", self._timeout)
            with _readable():
                said = json_object(answer)
                return Health(state=HealthState(said["state"]), detail=str(said["detail"]))
        except HsmUnavailable as error:
            return Health(state=HealthState.DOWN, detail=error.detail)

    def close(self) -> None:
        """Close the idle connections; the client can be used again."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    # --- beyond it ---

    def sign(self, label: str, message: bytes) -> bytes:
        """Have one whole message read and signed; PurposeRefused, KeyNotFound, HsmUnavailable."""
        return self._ask(Operation.SIGN, label, message, self._timeout)

    def sign_many(self, label: str, messages: Sequence[bytes]) -> tuple[bytes, ...]:
        """Have messages read and signed in one round trip (at most 4096, 64 MB); all or none."""
        if len(messages) > MAX_ITEMS:
            raise ProtocolViolation(f"at most {MAX_ITEMS} messages in one batch")
        timeout = self._timeout + len(messages) * BATCH_ITEM_TIMEOUT.total_seconds()
        answer = self._ask(Operation.SIGN_BATCH, label, pack_items(messages), timeout)
        with _readable():
            signatures = unpack_items(answer)
        if len(signatures) != len(messages):
            raise HsmUnavailable("the custodian returned another number of signatures")
        return signatures

    def set_issuer(self, label: str, issuer_der: bytes) -> None:
        """Fix the issuer Name (DER) that what this key signs must carry; Conflict when one is fixed."""
        self._ask(Operation.SET_ISSUER, label, issuer_der, self._timeout, once=True)

    # --- connections ---

    def _ask(self, operation: Operation, label: str, body: bytes, timeout: float, *, once: bool = False) -> bytes:
        """Exchange one request; a connection that went stale while it was idle is replaced, unless `once`."""
        request = encode_request(operation, label, body)
        deadline = time.monotonic() + timeout
        if self._owner != os.getpid():
            self._start_pool()
        with self._place(deadline):
            stale = None if once else self._take_idle()
            if stale is not None:
                try:
                    return decode_answer(self._exchange(stale, request, deadline))
                except TimeoutError as error:
                    raise HsmUnavailable("the custodian did not answer in time") from error
                except OSError:
                    self.close()  # the custodian was restarted: none of the idle connections lives
            try:
                return decode_answer(self._exchange(_Connection(self._path, deadline), request, deadline))
            except TimeoutError as error:
                raise HsmUnavailable("the custodian did not answer in time") from error
            except OSError as error:
                raise HsmUnavailable(f"the custodian cannot be reached: {error.strerror or 'closed'}") from error

    def _exchange(self, connection: _Connection, request: bytes, deadline: float) -> bytes:
        try:
            answer = connection.exchange(request, deadline)
        except BaseException:
            connection.close()  # an answer may still be on its way; nobody else may read it
            raise
        with self._lock:
            self._idle.append(connection)
        return answer

    @contextmanager
    def _place(self, deadline: float) -> Iterator[None]:
        """Wait for one of the 16 places; HsmUnavailable when none is free by the deadline."""
        if not self._places.acquire(timeout=max(deadline - time.monotonic(), 0)):
            raise HsmUnavailable("every connection to the custodian is busy")
        try:
            yield
        finally:
            self._places.release()

    def _take_idle(self) -> _Connection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None
