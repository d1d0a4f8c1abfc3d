"""The front's end of the line to its device process: asynchronous calls that always end.

A device may hang, crash its module or go away; what happens then happens in the device process. A call that
is not answered in its time fails; a process that makes no progress is killed and another one started, after a
delay that grows; while the device is away every call fails at once. What was proved of a key belongs to one
`generation`, which counts the openings of the device.

A device may show an old picture of itself: a process that makes a key in SoftHSM2 overlooks what another one made
meanwhile, or while it was opened itself. So a key that is absent is looked for again behind a fresh opening, and once
more, before it is told to be absent.
"""

import socket
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from hsm.device.calls import NEVER, PART_OCTETS, CallQueue, DeviceAnswer, Done, Gathering, Read, parts_of
from hsm.device.child import DeviceChild, DeviceOrder
from hsm.device.wire import (
    NOTICE_PIN_KNOWN,
    NOTICE_PIN_NEW,
    encode_attributes,
    encode_generate,
    encode_open,
    encode_public_key,
    encode_sign,
    read_body,
    read_generated,
    read_members,
    read_values,
)
from hsm.errors import (
    ConfigurationInvalid,
    DeviceLost,
    HsmUnavailable,
    KeyAbsent,
    MechanismRefused,
    PinIncorrect,
    ProtocolViolation,
    SessionLost,
)
from pki.errors import ServiceError
from pki.keys import SignatureAlgorithm

CALL_SECONDS: Final = 0.8
ITEM_SECONDS: Final = 0.02
GENERATE_SECONDS: Final = 60.0
START_SECONDS: Final = 10.0
OPEN_SECONDS: Final = 1.2
FIRST_DELAY_SECONDS: Final = 0.05
LONGEST_DELAY_SECONDS: Final = 0.5
STEADY_SECONDS: Final = 1.0
OPENINGS_OF_ONE_PROCESS: Final = 3
IDLE_SECONDS: Final = 60.0
REAP_SECONDS: Final = 0.05
DEFAULT_PART: Final = 32


class DeviceLink:
    """Ask a device process, and keep one that can be asked. Used by one thread, which never waits here.

    Its owner watches `socket` (another one after each restart of the process) for reading, and for writing
    while `wants_writing`; calls `on_readable` and `on_writable`; and calls `tick` before it waits, for as long
    as that returns at most. Each `done` is called exactly once: from inside the call itself only while the
    device is away. `fatal` is set when no trying will help: a PIN that may not be tried again, or settings that
    never worked.
    """

    def __init__(self, order: DeviceOrder, monotonic: Callable[[], float], *, part: int = DEFAULT_PART) -> None:
        """`part` is how many inputs travel in one request: the process answers between two of them."""
        self._order, self._monotonic, self._part = order, monotonic, part
        self.generation = 0
        self.available = False
        self.reason = "not connected yet"
        self.fatal: ServiceError | None = None
        self._child: DeviceChild | None = None
        self._dying: list[DeviceChild] = []
        self._calls = CallQueue()
        self._due: deque[tuple[Done, DeviceAnswer]] = deque()
        self._opening = False
        self._judging = False  # while the device judges a PIN that was never good: that must not be cut short
        self._openings = 0
        self._made_keys = False  # since the device was opened
        self._reopened_young = False  # for an absent key, since the device was last steady
        self._opened_at = self._next_try = 0.0
        self._delay = FIRST_DELAY_SECONDS

    # --- the owner's loop ---

    @property
    def socket(self) -> socket.socket | None:
        """What to watch; None while there is no process."""
        return None if self._child is None else self._child.socket

    @property
    def wants_writing(self) -> bool:
        """Whether `on_writable` is to be called as soon as the socket can be written."""
        return self._child is not None and self._child.wants_writing

    @property
    def pid(self) -> int | None:
        """The device process's id; None while there is no process."""
        return None if self._child is None else self._child.pid

    def open(self) -> None:
        """Start the process and have it open the device."""
        if self._child is None:
            self._start(self._monotonic())

    def close(self) -> None:
        """Let the process end; calls under way fail. Waits for a second at most."""
        child, self._child = self._child, None
        self._away("closed")
        self._fail_calls()
        for ending in (*self._dying, *(() if child is None else (child,))):
            ending.stop()
        self._dying.clear()

    def on_writable(self) -> None:
        """Send what could not be sent before."""
        if self._child is not None:
            self._child.flush()

    def on_readable(self) -> None:
        """Take the answers that arrived."""
        child = self._child
        if child is None:
            return
        try:
            answers = child.receive()
        except ConnectionError:
            self._restart("the device process ended")
            return
        except ProtocolViolation:
            self._restart("the device process broke its protocol")
            return
        now = self._monotonic()
        for answer in answers:
            self._take(answer, now)
            if self._child is not child:
                return
        child.flush()

    def tick(self) -> float:
        """Do what is due and return after how many seconds to be called again, if nothing happens before."""
        if self._child is not None:
            self._child.flush()
        while self._due:
            done, answer = self._due.popleft()
            done(answer)
        now = self._monotonic()
        due = self._due_at
        if now >= due or self._dying:
            self._do_due(now)
            due = self._due_at
        return max(0.0, min(due - now, REAP_SECONDS if self._dying else IDLE_SECONDS))

    @property
    def _due_at(self) -> float:
        return min(self._calls.next_deadline, NEVER if self._judging else self._calls.hangs_at, self._tries_at)

    def _do_due(self, now: float) -> None:
        if now >= min(self._calls.next_deadline, self._calls.hangs_at):
            self.on_readable()  # it may be we who did not listen
        if now >= self._calls.next_deadline:
            self._calls.expire(now)
        if now >= self._calls.hangs_at and not self._judging:
            self._restart("the device does not answer")
        if now >= self._tries_at:
            self._try_again(now)
        self._dying = [child for child in self._dying if not child.reap()]

    @property
    def _tries_at(self) -> float:
        return NEVER if self.available or self._opening or self.fatal else self._next_try

    # --- calls ---

    def sign(self, reference: bytes, algorithm: SignatureAlgorithm, inputs: Sequence[bytes], done: Done) -> None:
        """Have inputs signed (see `hsm.device.contract.Device.sign`); the value is a list of as many raw signatures.

        Large calls travel in parts, so that a long one that goes on is told from one that hangs.
        """
        if not self.available:
            done(self._refusal())
            return
        octets = sum(map(len, inputs))
        if len(inputs) <= self._part and octets <= PART_OCTETS:
            read = partial(read_values, count=len(inputs))
            seconds = _allowance(len(inputs))
            self._send(encode_sign(reference, algorithm, inputs), seconds, seconds, read, done)
        elif any(len(item) > PART_OCTETS for item in inputs):
            refused = MechanismRefused(f"a message of more than {PART_OCTETS} octets is not signed without its digest")
            self._due.append((done, DeviceAnswer(None, refused)))
        else:
            self._sign_in_parts(reference, algorithm, inputs, done)

    def _sign_in_parts(
        self, reference: bytes, algorithm: SignatureAlgorithm, inputs: Sequence[bytes], done: Done
    ) -> None:
        parts = list(parts_of(inputs, self._part))
        gathering = Gathering(len(parts), done)
        seconds = _allowance(len(inputs))
        for number, part in enumerate(parts):
            read, taker = partial(read_values, count=len(part)), partial(gathering.take, number)
            self._send(encode_sign(reference, algorithm, part), _allowance(len(part)), seconds, read, taker)

    def public_key(self, reference: bytes, algorithm: SignatureAlgorithm, done: Done) -> None:
        """Have a public key read; the value is its DER SubjectPublicKeyInfo."""
        self._look(encode_public_key(reference, algorithm), read_body, done)

    def generate(self, label: str, algorithm: SignatureAlgorithm, rsa_bits: int, done: Done) -> None:
        """Have a key pair made; the value is its reference and its DER SubjectPublicKeyInfo."""
        taker = partial(self._generated, done)
        self._ask(encode_generate(label, algorithm, rsa_bits), GENERATE_SECONDS, read_generated, taker)

    def attributes(self, reference: bytes, done: Done) -> None:
        """Have the device say what it knows of a private key; the value maps names to values."""
        self._look(encode_attributes(reference), read_members, done)

    def _generated(self, done: Done, answer: DeviceAnswer) -> None:
        self._made_keys = True
        done(answer)

    def _look(self, request: bytes, read: Read, done: Done) -> None:
        until = self._monotonic() + CALL_SECONDS
        self._ask(request, CALL_SECONDS, read, partial(self._looked, request, read, until, done))

    def _looked(self, request: bytes, read: Read, until: float, done: Done, answer: DeviceAnswer) -> None:
        if self._opening_anew and isinstance(answer.error, KeyAbsent):
            again = partial(self._looked, request, read, until, done)
            self._send(request, CALL_SECONDS, until - self._monotonic(), read, again)  # behind the opening
        else:
            done(answer)

    def _ask(self, request: bytes, seconds: float, read: Read, done: Done) -> None:
        if self.available:
            self._send(request, seconds, seconds, read, done)
        else:
            done(self._refusal())

    def _send(self, request: bytes, allowance: float, seconds: float, read: Read, done: Done) -> None:
        if self._child is None:
            raise AssertionError("asked without a process")
        idle = not self._calls
        self._calls.add(self._monotonic(), allowance, seconds, read, done)
        self._child.send(request, later=not idle)  # a busy process has no use for it before our loop turns

    def _refusal(self) -> DeviceAnswer:
        return DeviceAnswer(None, HsmUnavailable(f"the device is away: {self.reason}"))

    def _take(self, answer: bytes, now: float) -> None:
        if answer in (NOTICE_PIN_NEW, NOTICE_PIN_KNOWN):
            self._judging = answer == NOTICE_PIN_NEW
            return
        try:
            done, found = self._calls.take(answer, now)
        except ProtocolViolation:
            self._restart("the device process broke its protocol")
            return
        if found.error is not None and self.available and isinstance(found.error, DeviceLost | SessionLost):
            self._lose(found.error, now)
        if done is not None:
            done(found)

    def _fail_calls(self) -> None:
        due, self._due = self._due, deque()
        for done, answer in due:
            done(answer)
        self._calls.fail(self.reason)

    # --- the life of the process and its device ---

    def _start(self, now: float) -> None:
        self._openings = 0
        try:
            self._child = DeviceChild(self._order)
        except OSError as error:
            self._away(f"the device process does not start: {error.strerror}")
            self._wait(now)
            return
        self._opening = True
        self._calls.add(now, START_SECONDS, NEVER, read_body, self._started)

    def _started(self, answer: DeviceAnswer) -> None:
        if answer.error is None:
            self._try_again(self._monotonic())
        elif self._opening:
            self._opening_failed(answer.error)
            self._give_up()  # there is no device in it that could be opened

    def _try_again(self, now: float) -> None:
        if self._child is None:
            self._start(now)
            return
        self._begin_opening()

    def _begin_opening(self) -> None:
        self._opening = True
        self._openings += 1
        self._send(encode_open(), OPEN_SECONDS, NEVER, read_body, self._opened)

    @property
    def _opening_anew(self) -> bool:
        """Whether the device is opened again between two calls: what is asked meanwhile is done after that."""
        return self.available and self._opening

    def _opened(self, answer: DeviceAnswer) -> None:
        if not self._opening:
            return  # the process was given up, and its reason is known
        if answer.error is not None:
            self._opening_failed(answer.error)
            return
        if not self.available:
            self.generation += 1
        self._opening, self._judging, self._openings, self._made_keys = False, False, 0, False
        self.available, self.reason = True, ""
        self._opened_at = self._monotonic()

    def _opening_failed(self, error: ServiceError) -> None:
        self._away(error.detail)
        self._wait(self._monotonic())
        never_good = self.generation == 0 and isinstance(error, ConfigurationInvalid)
        if isinstance(error, PinIncorrect) or never_good:
            self.fatal = error
        # A module may need a process of its own to find its device again.
        if self.fatal is not None or self._openings >= OPENINGS_OF_ONE_PROCESS:
            self._give_up()

    def _lose(self, error: ServiceError, now: float) -> None:
        if self._opening_anew:
            return
        steady = now - self._opened_at >= STEADY_SECONDS
        if steady:
            self._delay = FIRST_DELAY_SECONDS
            self._reopened_young = False
        if isinstance(error, KeyAbsent):
            # Another one may have made the key while ours was opened; a second time, it is the key that is missing.
            if steady or self._made_keys or not self._reopened_young:
                self._reopened_young = not steady
                self.generation += 1  # from now on calls meet the device after its opening
                self._begin_opening()
            return
        self._away(error.detail)
        if steady:
            self._next_try = now
        else:
            self._wait(now)

    def _restart(self, reason: str) -> None:
        """Kill the process; another one is started when its delay is over."""
        now = self._monotonic()
        if self.available and now - self._opened_at >= STEADY_SECONDS:
            self._delay = FIRST_DELAY_SECONDS
        self._away(reason)
        self._wait(now)
        self._give_up()

    def _away(self, reason: str) -> None:
        self.available = self._opening = self._judging = False
        self.reason = reason

    def _wait(self, now: float) -> None:
        self._next_try = now + self._delay
        self._delay = min(self._delay * 2, LONGEST_DELAY_SECONDS)

    def _give_up(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            self._dying.append(child)
        self._fail_calls()


def _allowance(items: int) -> float:
    return CALL_SECONDS + ITEM_SECONDS * (items - 1 if items else 0)
