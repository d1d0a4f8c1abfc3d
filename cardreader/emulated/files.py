"""The emulated card's file system: SELECT, READ BINARY, UPDATE BINARY (ISO/IEC 7816-4:2020 §11.2, §11.3)."""

from typing import Final

from cardreader import tlv
from cardreader.apdu import SHORT_NE, CommandApdu, ResponseApdu, StatusWord
from cardreader.emulated.layout import APPLICATION, MF, PKCS15_AID
from cardreader.emulated.state import CardState

ISO_APPLET_AID: Final = bytes.fromhex("F276A288BCFBA69D34F31001")
# API version 00.06; features: extended APDUs, elliptic curves. Read by OpenSC's isoApplet driver.
ISO_APPLET_ANSWER: Final = bytes.fromhex("000605")
_DIRECTORIES: Final = (MF, APPLICATION)


def refuse(status: StatusWord) -> ResponseApdu:
    """Answer with a status word alone."""
    return ResponseApdu(sw=status)


class CardFileSystem:
    """The selected file and what may be done with it."""

    def __init__(self, state: CardState) -> None:
        self._state = state
        self._directory = MF
        self._file: str | None = None

    def reset(self) -> None:
        """Select the MF, as after power on."""
        self._directory, self._file = MF, None

    def select(self, command: CommandApdu) -> ResponseApdu:
        """SELECT by application identifier, file identifier or path."""
        if command.p2 & 0xF3:  # first or only occurrence; FCI, FCP or no answer
            return refuse(StatusWord.WRONG_PARAMETERS)
        data = bytes(command.data)
        if command.p1 == 0x04:
            return self._select_application(data, command.p2)
        name = data.hex().upper()
        if len(name) % 4 or (not name and command.p1 != 0x00):
            return refuse(StatusWord.WRONG_DATA)
        match command.p1:
            case 0x00:
                candidates = self._by_identifier(name or MF)
            case 0x01 | 0x02:
                candidates = (self._directory + name,)
            case 0x08:
                candidates = (name if name.startswith(MF) else MF + name,)
            case 0x09:
                candidates = (self._directory + name,)
            case _:
                return refuse(StatusWord.WRONG_PARAMETERS)
        for path in candidates:
            if path in _DIRECTORIES:
                self._directory, self._file = path, None
                return ResponseApdu(data=self._control_information(command.p2))
            if path in self._state.files:
                self._directory, self._file = path[:-4], path
                return ResponseApdu(data=self._control_information(command.p2))
        return refuse(StatusWord.FILE_NOT_FOUND)

    def _by_identifier(self, name: str) -> tuple[str, ...]:
        """Where a file identifier is looked for: itself, a child of the current DF, a sibling (§7.1.1)."""
        return tuple(found for found in (name, self._directory + name, MF + name) if found.endswith(name))

    def _select_application(self, aid: bytes, p2: int) -> ResponseApdu:
        if aid not in (PKCS15_AID, ISO_APPLET_AID):
            return refuse(StatusWord.FILE_NOT_FOUND)
        self._directory, self._file = APPLICATION, None
        return ResponseApdu(data=ISO_APPLET_ANSWER if aid == ISO_APPLET_AID else self._control_information(p2))

    def _control_information(self, p2: int) -> bytes:
        if p2 & 0x0C == 0x0C:
            return b""
        if self._file is None:
            parts = tlv.encode(0x82, b"\x38") + tlv.encode(0x83, bytes.fromhex(self._directory[-4:]))
            parts += tlv.encode(0x84, PKCS15_AID) if self._directory == APPLICATION else b""
        else:
            size = len(self._state.files[self._file])
            parts = tlv.encode(0x80, size.to_bytes(2, "big")) + tlv.encode(0x82, b"\x01")
            parts += tlv.encode(0x83, bytes.fromhex(self._file[-4:]))
        parts += tlv.encode(0x8A, b"\x05")
        return tlv.encode(0x62 if p2 & 0x0C == 0x04 else 0x6F, parts)

    def read(self, command: CommandApdu) -> ResponseApdu:
        """READ BINARY of the selected file, 15-bit offset."""
        if command.p1 & 0x80:
            return refuse(StatusWord.WRONG_PARAMETERS)
        if self._file is None:
            return refuse(StatusWord.NO_CURRENT_FILE)
        content = self._state.files[self._file]
        offset = command.p1 << 8 | command.p2
        if offset >= len(content):
            return refuse(StatusWord.WRONG_OFFSET)
        part = content[offset : offset + command.ne]
        short = len(part) < command.ne and command.ne % SHORT_NE != 0
        return ResponseApdu(data=part, sw=StatusWord.END_OF_FILE if short else StatusWord.OK)

    def update(self, command: CommandApdu, *, allowed: bool) -> ResponseApdu:
        """UPDATE BINARY of the selected file; `allowed` says whether a PIN was verified."""
        if command.p1 & 0x80 or not command.data:
            return refuse(StatusWord.WRONG_PARAMETERS)
        if self._file is None:
            return refuse(StatusWord.NO_CURRENT_FILE)
        if self._file not in self._state.writable or not allowed:
            return refuse(StatusWord.SECURITY_STATUS)
        content = self._state.files[self._file]
        offset = command.p1 << 8 | command.p2
        end = offset + len(command.data)
        if end > len(content):
            return refuse(StatusWord.FILE_FULL)
        self._state.files[self._file] = content[:offset] + bytes(command.data) + content[end:]
        return ResponseApdu()
