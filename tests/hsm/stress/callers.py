"""Client threads that have all kinds of things signed and look at every answer."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

from hsm.client import SIGN_TIMEOUT, CustodianClient
from hsm.errors import HsmUnavailable
from hsm.provider import KeyPurpose
from pki.errors import VerificationFailed
from pki.journal import DONE, KeyUse
from pki.keys import PublicKey, SignatureAlgorithm, verify_signature
from tests.hsm.stress.fronts import Fronts
from tests.support.patience import PATIENCE

SEAL: Final = (SignatureAlgorithm.ES256, KeyPurpose.SEAL)
TOKEN: Final = (SignatureAlgorithm.ES256, KeyPurpose.TOKEN)


class Keys(NamedTuple):
    """Two labels and the public keys that were recorded for them."""

    seal: str
    token: str
    seal_public: PublicKey
    token_public: PublicKey


def make_keys(fronts: Fronts, client: CustodianClient) -> Keys:
    """Make the keys while all is well."""
    fronts.home.client = client
    seal, token = fronts.home.key(*SEAL), fronts.home.key(*TOKEN)
    return Keys(seal, token, client.signing_key(seal).public_key(), client.signing_key(token).public_key())


class Answered(NamedTuple):
    """One call that ended with signatures: when, with which key, and what the journal must say of it."""

    began: float
    ended: float
    label: str
    items: int
    digest: bytes


class Refused(NamedTuple):
    """One call that ended with HsmUnavailable: when, and what was said."""

    began: float
    ended: float
    detail: str


class Caller(threading.Thread):
    """Asks for one thing after the other until told to stop."""

    def __init__(self, number: int, client: CustodianClient, keys: Keys, stopping: threading.Event, pause: float):
        super().__init__()
        self._client, self._keys, self._stopping, self._pause = client, keys, stopping, pause
        self._prefix = f"log.example/{number}\n"
        self.answered: list[Answered] = []
        self.refused: list[Refused] = []
        self.wrong: list[str] = []
        self.slowest = 0.0

    def run(self) -> None:
        """Ask."""
        try:
            for number in count():
                if self._stopping.is_set():
                    return
                self._ask(number)
                time.sleep(self._pause)
        except Exception as error:  # noqa: BLE001 - a thread's error would be seen by nobody
            self.wrong.append(f"{type(error).__name__}: {error}")
        finally:
            self._client.close()

    def _ask(self, number: int) -> None:
        many = 5 if number % 8 == 7 else 1
        notes = [f"{self._prefix}{number}\n{'A' * 43}={part}\n".encode() for part in range(many)]
        digests = [sha256(note).digest() for note in notes]
        token = number % 4 == 2
        began = time.monotonic()
        try:
            signatures = self._signatures(notes, digests, token=token)
        except HsmUnavailable as error:
            self.refused.append(Refused(began, time.monotonic(), error.detail))
            return
        finally:
            ended = time.monotonic()
            self.slowest = max(self.slowest, ended - began)
        public_key = self._keys.token_public if token else self._keys.seal_public
        for note, signature in zip(notes, signatures, strict=True):
            try:
                verify_signature(public_key, signature, note)
            except VerificationFailed:
                self.wrong.append("a wrong signature")
        digest = digests[0] if many == 1 else sha256(b"".join(digests)).digest()
        label = self._keys.token if token else self._keys.seal
        self.answered.append(Answered(began, ended, label, many, digest))

    def _signatures(self, notes: Sequence[bytes], digests: Sequence[bytes], *, token: bool) -> Sequence[bytes]:
        if token:
            return self._client.sign_digests(self._keys.token, digests)
        if len(notes) > 1:
            return self._client.sign_many(self._keys.seal, notes)
        return (self._client.sign(self._keys.seal, notes[0]),)


class Callers:
    """Several of them, and what they found."""

    def __init__(
        self,
        threads: int,
        sockets: Sequence[Path],
        keys: Keys,
        *,
        pause: float = 0.0,
        timeout: timedelta = SIGN_TIMEOUT,
    ) -> None:
        self._stopping = threading.Event()
        self._all = [
            Caller(number, CustodianClient(sockets, timeout=timeout), keys, self._stopping, pause)
            for number in range(threads)
        ]

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Let them call during the block. None may be stuck at its end."""
        for caller in self._all:
            caller.start()
        try:
            yield
        finally:
            self._stopping.set()
            for caller in self._all:
                caller.join(PATIENCE)
        assert not [caller for caller in self._all if caller.is_alive()], "a client is stuck"

    @property
    def signatures(self) -> int:
        """How many signatures they have by now."""
        return sum(answer.items for caller in self._all for answer in tuple(caller.answered))

    @property
    def slowest(self) -> float:
        """The seconds that the longest call took, however it ended."""
        return max(caller.slowest for caller in self._all)

    @property
    def wrong(self) -> list[str]:
        """What may never happen: a signature that does not verify, an error of another kind."""
        return [found for caller in self._all for found in caller.wrong]

    @property
    def refused(self) -> list[Refused]:
        """The calls that ended with HsmUnavailable."""
        return [refused for caller in self._all for refused in caller.refused]

    def answered(self, meant: Callable[[Answered], bool] = lambda _answer: True) -> list[Answered]:
        """Return the calls that ended with signatures, in the order of their ends."""
        found = (answer for caller in self._all for answer in caller.answered if meant(answer))
        return sorted(found, key=lambda answer: answer.ended)

    def missing_from(self, uses: Sequence[KeyUse]) -> list[Answered]:
        """Return the calls that were answered and are not in a journal."""
        written = {(use.key, use.count, use.digest) for use in uses if use.outcome == DONE}
        return self.answered(lambda answer: (answer.label, answer.items, answer.digest) not in written)
