"""The emulated card itself: APDUs in, APDUs out, a real PIN counter, keys made inside.

Rules: reading is free; writing needs any PIN; a key is made and used under its own PIN; the signature PIN is
spent by one signature. A counter is written to the state before the answer leaves the card.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from cardreader import tlv
from cardreader.apdu import (
    CHAINING,
    EXTENDED_NC,
    SHORT_NE,
    CommandApdu,
    Instruction,
    ResponseApdu,
    StatusWord,
    parse_command,
)
from cardreader.emulated import keys
from cardreader.emulated.files import CardFileSystem, refuse
from cardreader.emulated.layout import ECDSA, ECDSA_ISO_APPLET, GENERATE_EC, GENERATE_RSA, RSA_PKCS1
from cardreader.emulated.state import PIN_TRIES, CardState, PinRecord
from cardreader.errors import CardProtocolError

_HISTORICAL: Final = bytes.fromhex("8073C001C058") + b"MOHR-EMU"
_STORED_LENGTH: Final = 16


def _answer_to_reset() -> bytes:
    """T=1 only; historical bytes with chaining and extended lengths, then the issuer's data (ISO/IEC 7816-3 §8)."""
    body = bytes((0x80 | len(_HISTORICAL), 0x80, 0x01)) + _HISTORICAL
    check = 0
    for octet in body:
        check ^= octet
    return b"\x3b" + body + bytes((check,))


ATR: Final = _answer_to_reset()


class EmulatedCard:
    """One card. `save` is called with the state after each change, before the answer is given."""

    atr = ATR

    def __init__(self, state: CardState, save: Callable[[CardState], None]) -> None:
        self._state, self._save = state, save
        self._files = CardFileSystem(state)
        self._verified: set[int] = set()
        self._environment: tuple[int, int] | None = None  # algorithm reference, key reference
        self._chain: CommandApdu | None = None
        self._pending = b""
        self._handlers: dict[int, Callable[[CommandApdu], ResponseApdu]] = {
            Instruction.SELECT: self._select,
            Instruction.READ_BINARY: self._files.read,
            Instruction.UPDATE_BINARY: self._update,
            Instruction.VERIFY: self._verify,
            Instruction.CHANGE_REFERENCE_DATA: self._change,
            Instruction.RESET_RETRY_COUNTER: self._unblock,
            Instruction.MANAGE_SECURITY_ENVIRONMENT: self._set_environment,
            Instruction.PERFORM_SECURITY_OPERATION: self._sign,
            Instruction.GENERATE_KEY_PAIR: self._generate,
        }

    def reset(self) -> None:
        """Forget what a power cycle forgets."""
        self._files.reset()
        self._verified.clear()
        self._environment = self._chain = None
        self._pending = b""

    def process(self, raw: bytes) -> bytes:
        """Answer one command APDU; malformed ones are answered with 6700."""
        try:
            command = parse_command(raw)
        except CardProtocolError:
            return refuse(StatusWord.WRONG_LENGTH).encode()
        return self._answer(command).encode()

    def _answer(self, command: CommandApdu) -> ResponseApdu:
        if command.ins == Instruction.GET_RESPONSE:
            if not self._pending:
                return refuse(StatusWord.CONDITIONS)
            return self._deliver(self._pending, StatusWord.OK, command.ne)
        self._pending = b""
        if command.cla & ~CHAINING:
            return refuse(StatusWord.CLASS_UNSUPPORTED)
        handler = self._handlers.get(command.ins)
        if handler is None:
            return refuse(StatusWord.INSTRUCTION_UNSUPPORTED)
        whole = self._collect(command)
        if isinstance(whole, ResponseApdu):
            return whole
        response = handler(whole)
        return self._deliver(response.data, response.sw, command.ne)

    def _collect(self, command: CommandApdu) -> CommandApdu | ResponseApdu:
        """Join a chain of commands; a link that is not the last is answered at once."""
        before, self._chain = self._chain, None
        if before is not None:
            if (before.ins, before.p1, before.p2) != (command.ins, command.p1, command.p2):
                return refuse(StatusWord.LAST_OF_CHAIN_EXPECTED)
            if len(before.data) + len(command.data) > EXTENDED_NC:
                return refuse(StatusWord.WRONG_LENGTH)
            command = replace(command, data=bytes(before.data) + bytes(command.data))
        if command.cla & CHAINING:
            self._chain = command
            return ResponseApdu()
        return command

    def _deliver(self, data: bytes, sw: int, ne: int) -> ResponseApdu:
        """Give at most `ne` octets; the rest waits for GET RESPONSE."""
        part, self._pending = data[:ne], data[ne:]
        if self._pending:
            return ResponseApdu(data=part, sw=0x6100 | (len(self._pending) if len(self._pending) < SHORT_NE else 0))
        return ResponseApdu(data=part, sw=sw)

    def _select(self, command: CommandApdu) -> ResponseApdu:
        response = self._files.select(command)
        if command.p1 == 0x04 and response.ok:
            self._verified.clear()
            self._environment = None
        return response

    def _update(self, command: CommandApdu) -> ResponseApdu:
        response = self._files.update(command, allowed=bool(self._verified))
        if response.ok:
            self._save(self._state)
        return response

    # --- PINs -------------------------------------------------------------------------------------

    def _pin(self, command: CommandApdu) -> PinRecord | None:
        return self._state.pins.get(command.p2) if command.p1 == 0x00 else None

    def _verify(self, command: CommandApdu) -> ResponseApdu:
        record = self._pin(command)
        if record is None:
            return refuse(StatusWord.REFERENCE_NOT_FOUND)
        if not command.data:
            return refuse(StatusWord.OK) if command.p2 in self._verified else self._counter(record)
        self._verified.discard(command.p2)
        response = self._check(record, bytes(command.data))
        if response.ok and record.puk_reference is not None:
            self._verified.add(command.p2)
        return response

    def _counter(self, record: PinRecord) -> ResponseApdu:
        if record.tries_left == 0:
            return refuse(StatusWord.BLOCKED)
        return ResponseApdu(sw=0x63C0 | record.tries_left)

    def _check(self, record: PinRecord, padded: bytes) -> ResponseApdu:
        """Compare and count. The try is taken and stored before the comparison can be seen from outside."""
        if record.tries_left == 0:
            return refuse(StatusWord.BLOCKED)
        if len(padded) > _STORED_LENGTH:
            return refuse(StatusWord.WRONG_LENGTH)
        before = record.tries_left
        record.tries_left = PIN_TRIES if record.matches(padded.rstrip(b"\0")) else before - 1
        if record.tries_left != before:
            self._save(self._state)
        return ResponseApdu() if record.tries_left == PIN_TRIES else ResponseApdu(sw=0x63C0 | record.tries_left)

    def _replace(self, record: PinRecord, padded: bytes) -> ResponseApdu:
        digits = padded.rstrip(b"\0")
        if not record.min_length <= len(digits) <= record.max_length or not digits.isdigit():
            return refuse(StatusWord.WRONG_DATA)
        record.replace(digits)
        self._save(self._state)
        return ResponseApdu()

    def _change(self, command: CommandApdu) -> ResponseApdu:
        record = self._pin(command)
        if record is None:
            return refuse(StatusWord.REFERENCE_NOT_FOUND)
        if len(command.data) != 2 * _STORED_LENGTH:
            return refuse(StatusWord.WRONG_LENGTH)
        self._verified.discard(command.p2)
        checked = self._check(record, bytes(command.data[:_STORED_LENGTH]))
        return self._replace(record, bytes(command.data[_STORED_LENGTH:])) if checked.ok else checked

    def _unblock(self, command: CommandApdu) -> ResponseApdu:
        record = self._pin(command)
        puk = None if record is None or record.puk_reference is None else self._state.pins.get(record.puk_reference)
        if record is None or puk is None:
            return refuse(StatusWord.REFERENCE_NOT_FOUND)
        if len(command.data) != 2 * _STORED_LENGTH:
            return refuse(StatusWord.WRONG_LENGTH)
        self._verified.discard(command.p2)
        checked = self._check(puk, bytes(command.data[:_STORED_LENGTH]))
        return self._replace(record, bytes(command.data[_STORED_LENGTH:])) if checked.ok else checked

    # --- keys -------------------------------------------------------------------------------------

    def _set_environment(self, command: CommandApdu) -> ResponseApdu:
        """MANAGE SECURITY ENVIRONMENT, SET for computation, digital signature template (ISO/IEC 7816-4 §11.5.11)."""
        self._environment = None
        if (command.p1, command.p2) != (0x41, 0xB6):
            return refuse(StatusWord.WRONG_PARAMETERS)
        try:
            objects = tlv.parse_tlvs(bytes(command.data))
            algorithm, key = tlv.find(objects, 0x80), tlv.find(objects, 0x84)
        except CardProtocolError:
            return refuse(StatusWord.WRONG_DATA)
        if algorithm is None or key is None or len(algorithm) != 1 or len(key) != 1:
            return refuse(StatusWord.WRONG_DATA)
        if algorithm[0] not in (RSA_PKCS1, ECDSA_ISO_APPLET, ECDSA, GENERATE_RSA, GENERATE_EC):
            return refuse(StatusWord.FUNCTION_UNSUPPORTED)
        if key[0] not in self._state.keys:
            return refuse(StatusWord.REFERENCE_NOT_FOUND)
        self._environment = algorithm[0], key[0]
        return ResponseApdu()

    def _sign(self, command: CommandApdu) -> ResponseApdu:
        if (command.p1, command.p2) != (0x9E, 0x9A):
            return refuse(StatusWord.WRONG_PARAMETERS)
        if self._environment is None:
            return refuse(StatusWord.CONDITIONS)
        algorithm, reference = self._environment
        record = self._state.keys[reference]
        if not record.pkcs8:
            return refuse(StatusWord.CONDITIONS)
        if record.pin_reference not in self._verified:
            return refuse(StatusWord.SECURITY_STATUS)
        response = keys.sign(record.pkcs8, algorithm, bytes(command.data))
        if response.ok and record.asks_always:
            self._verified.discard(record.pin_reference)
        return response

    def _generate(self, command: CommandApdu) -> ResponseApdu:
        """GENERATE ASYMMETRIC KEY PAIR with the public key as the answer (ISO/IEC 7816-8 §5.3)."""
        if (command.p1, command.p2) != (0x80, 0x00):
            return refuse(StatusWord.WRONG_PARAMETERS)
        if self._environment is None or self._environment[0] not in (GENERATE_RSA, GENERATE_EC):
            return refuse(StatusWord.CONDITIONS)
        algorithm, reference = self._environment
        record = self._state.keys[reference]
        if record.pin_reference not in self._verified:
            return refuse(StatusWord.SECURITY_STATUS)
        record.pkcs8, public = keys.generate(as_rsa=algorithm == GENERATE_RSA)
        self._save(self._state)
        return ResponseApdu(data=public)
