"""Command and response APDUs, short and extended (ISO/IEC 7816-4:2020 §5.2, §5.3).

Neither shows its data in `repr`: a command may carry a PIN, a response a person's data.
"""

from dataclasses import dataclass
from enum import IntEnum, unique
from typing import Final

from cardreader.errors import CardProtocolError

SHORT_NC: Final = 255
SHORT_NE: Final = 256
EXTENDED_NC: Final = 65535
EXTENDED_NE: Final = 65536
CHAINING: Final = 0x10


@unique
class Instruction(IntEnum):
    """Instructions that Mohr sends (ISO/IEC 7816-4 §5.4.2, 7816-8)."""

    VERIFY = 0x20
    MANAGE_SECURITY_ENVIRONMENT = 0x22
    CHANGE_REFERENCE_DATA = 0x24
    PERFORM_SECURITY_OPERATION = 0x2A
    RESET_RETRY_COUNTER = 0x2C
    GENERATE_KEY_PAIR = 0x47
    SELECT = 0xA4
    READ_BINARY = 0xB0
    GET_RESPONSE = 0xC0
    UPDATE_BINARY = 0xD6


SECRET_INSTRUCTIONS: Final = frozenset(
    (Instruction.VERIFY, Instruction.CHANGE_REFERENCE_DATA, Instruction.RESET_RETRY_COUNTER)
)


@unique
class StatusWord(IntEnum):
    """Status words with a meaning of their own (ISO/IEC 7816-4 §5.6)."""

    OK = 0x9000
    END_OF_FILE = 0x6282
    VERIFICATION_FAILED = 0x6300
    WRONG_LENGTH = 0x6700
    LAST_OF_CHAIN_EXPECTED = 0x6883
    CHAINING_UNSUPPORTED = 0x6884
    FILE_INCOMPATIBLE = 0x6981
    SECURITY_STATUS = 0x6982
    BLOCKED = 0x6983
    REFERENCE_UNUSABLE = 0x6984
    CONDITIONS = 0x6985
    NO_CURRENT_FILE = 0x6986
    WRONG_DATA = 0x6A80
    FUNCTION_UNSUPPORTED = 0x6A81
    FILE_NOT_FOUND = 0x6A82
    FILE_FULL = 0x6A84
    WRONG_PARAMETERS = 0x6A86
    REFERENCE_NOT_FOUND = 0x6A88
    WRONG_OFFSET = 0x6B00
    INSTRUCTION_UNSUPPORTED = 0x6D00
    CLASS_UNSUPPORTED = 0x6E00
    NO_DIAGNOSIS = 0x6F00


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandApdu:
    """One command. `ne` is the number of octets expected back: 0 none, 256 or 65536 "as many as there are".

    `data` may be a bytearray so that its owner can wipe a secret after the exchange.
    """

    cla: int = 0x00
    ins: int
    p1: int = 0x00
    p2: int = 0x00
    data: bytes | bytearray = b""
    ne: int = 0

    def __post_init__(self) -> None:
        if any(not 0 <= octet <= 0xFF for octet in (self.cla, self.ins, self.p1, self.p2)):
            raise CardProtocolError("APDU header octet out of range")
        if len(self.data) > EXTENDED_NC or not 0 <= self.ne <= EXTENDED_NE:
            raise CardProtocolError("APDU longer than the extended format allows")

    def __repr__(self) -> str:
        header = f"{self.cla:02X} {self.ins:02X} {self.p1:02X} {self.p2:02X}"
        return f"CommandApdu({header}, {len(self.data)} octets, ne={self.ne})"

    @property
    def carries_secret(self) -> bool:
        """Whether the data field is, or may be, a PIN."""
        return self.ins in SECRET_INSTRUCTIONS

    @property
    def fits_short(self) -> bool:
        """Whether the short format can carry this command."""
        return len(self.data) <= SHORT_NC and self.ne <= SHORT_NE

    def encode(self) -> bytearray:
        """Encode for the wire, short where it fits. The caller owns the buffer and wipes it if it is secret."""
        encoded = bytearray((self.cla, self.ins, self.p1, self.p2))
        if self.fits_short:
            if self.data:
                encoded.append(len(self.data))
                encoded += self.data
            if self.ne:
                encoded.append(self.ne & 0xFF)
            return encoded
        encoded.append(0)
        if self.data:
            encoded += len(self.data).to_bytes(2, "big")
            encoded += self.data
        if self.ne:
            encoded += (self.ne & 0xFFFF).to_bytes(2, "big")
        return encoded


def parse_command(raw: bytes) -> CommandApdu:
    """Read a command as a card does; CardProtocolError when lengths do not add up (§5.2, cases 1 to 4)."""
    if len(raw) < 4:
        raise CardProtocolError("command shorter than its header")
    cla, ins, p1, p2 = raw[:4]
    data, ne = _parse_body(raw[4:])
    return CommandApdu(cla=cla, ins=ins, p1=p1, p2=p2, data=data, ne=ne)


def _parse_body(body: bytes) -> tuple[bytes, int]:
    if not body:
        return b"", 0
    if len(body) == 1:
        return b"", body[0] or SHORT_NE
    if body[0] != 0:
        nc, start, le_octets = body[0], 1, 1
    elif len(body) == 3:
        return b"", int.from_bytes(body[1:3], "big") or EXTENDED_NE
    elif len(body) > 3:
        nc, start, le_octets = int.from_bytes(body[1:3], "big"), 3, 2
    else:
        raise CardProtocolError("command of no known case")
    if nc == 0:
        raise CardProtocolError("empty data field with a length")
    le = body[start + nc :]
    if len(body) < start + nc or len(le) not in (0, le_octets):
        raise CardProtocolError("command length does not match its data")
    ne = (int.from_bytes(le, "big") or 1 << 8 * le_octets) if le else 0
    return body[start : start + nc], ne


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseApdu:
    """One response: its data and its status word."""

    data: bytes = b""
    sw: int = StatusWord.OK

    def __repr__(self) -> str:
        return f"ResponseApdu({len(self.data)} octets, {self.sw:04X})"

    @property
    def ok(self) -> bool:
        """Whether the status word is 9000."""
        return self.sw == StatusWord.OK

    @property
    def sw1(self) -> int:
        """The first octet of the status word."""
        return self.sw >> 8

    @property
    def sw2(self) -> int:
        """The second octet of the status word."""
        return self.sw & 0xFF

    @property
    def tries_left(self) -> int | None:
        """The retry counter of a 63Cx status word, or None (§5.6, "counter")."""
        return self.sw & 0x0F if self.sw & 0xFFF0 == 0x63C0 else None

    def encode(self) -> bytes:
        """Encode for the wire."""
        return self.data + self.sw.to_bytes(2, "big")


def parse_response(raw: bytes) -> ResponseApdu:
    """Read a response; CardProtocolError for fewer than two octets or more than the extended format allows."""
    if not 2 <= len(raw) <= EXTENDED_NE + 2:
        raise CardProtocolError(f"response of {len(raw)} octets")
    return ResponseApdu(data=bytes(raw[:-2]), sw=int.from_bytes(raw[-2:], "big"))
