"""Transparent elementary files of a card: select, read, write (ISO/IEC 7816-4:2020 §11.2, §11.3)."""

from typing import Final

from cardreader import tlv
from cardreader.apdu import SHORT_NE, CommandApdu, Instruction, ResponseApdu, StatusWord
from cardreader.cards.directory import FilePath
from cardreader.channel import CardChannel
from cardreader.errors import CardFull, CardProtocolError, CardRefused, CardUnsupported, PinRequired

MF: Final = b"\x3f\x00"
MAX_FILE: Final = 0x7FFF  # READ BINARY has a 15-bit offset
_WRITE_CHUNK: Final = 240
_FCI, _FCP = 0x6F, 0x62
_ABSENT: Final = (StatusWord.FILE_NOT_FOUND, StatusWord.WRONG_PARAMETERS, StatusWord.INSTRUCTION_UNSUPPORTED, 0x6999)


class CardFiles:
    """The files of one card. Relative paths start at `home`, the application's directory."""

    def __init__(self, channel: CardChannel) -> None:
        self._channel = channel
        self.home = MF

    def select_application(self, aid: bytes) -> bool:
        """Select an application by its identifier; false when the card does not have it."""
        response = self._channel.transmit(CommandApdu(ins=Instruction.SELECT, p1=0x04, p2=0x00, data=aid, ne=SHORT_NE))
        if response.sw in _ABSENT:
            return False
        _require(response, "SELECT")
        return True

    def absolute(self, path: bytes) -> bytes:
        """Return `path` from the MF on."""
        return path if path.startswith(MF) else self.home + path

    def select(self, path: bytes) -> int | None:
        """Select a file by its path and return its size where the card tells; CardUnsupported when it is absent."""
        below = self.absolute(path)[len(MF) :]
        command = CommandApdu(ins=Instruction.SELECT, p1=0x08 if below else 0x00, data=below or MF, ne=SHORT_NE)
        response = self._channel.transmit(command)
        if response.sw in _ABSENT:
            raise CardUnsupported(f"the card has no file {path.hex()}")
        _require(response, "SELECT")
        return _file_size(response.data)

    def read(self, where: FilePath) -> bytes:
        """Read the part of a file that `where` names, exactly; CardProtocolError when the file is shorter."""
        size = self.select(where.path)
        if where.length is not None:
            content = self._read_part(where.index, where.length)
            if len(content) != where.length:
                raise CardProtocolError("the file is shorter than its directory entry says")
            return content
        return self._read_part(where.index, MAX_FILE if size is None else size - where.index)

    def read_objects(self, path: bytes) -> bytes:
        """Read a file of data objects as far as its padding, which saves time on slow cards."""
        size = self.select(path)
        content = b""
        while len(content) < (MAX_FILE if size is None else size) and not tlv.ends_in_padding(content):
            part = self._read_chunk(len(content), SHORT_NE)
            if not part:
                break
            content += part
        return content

    def _read_part(self, offset: int, length: int) -> bytes:
        content = b""
        while len(content) < length:
            part = self._read_chunk(offset + len(content), min(length - len(content), SHORT_NE))
            if not part:
                break
            content += part
        return content

    def _read_chunk(self, offset: int, size: int) -> bytes:
        """Read up to `size` octets; nothing at the end of the file."""
        if offset > MAX_FILE:
            raise CardProtocolError("file longer than 32 KiB")
        response = self._channel.transmit(
            CommandApdu(ins=Instruction.READ_BINARY, p1=offset >> 8, p2=offset & 0xFF, ne=size)
        )
        if response.sw == StatusWord.WRONG_OFFSET:
            return b""
        if response.sw != StatusWord.END_OF_FILE:
            _require(response, "READ BINARY")
        return response.data

    def write(self, path: bytes, content: bytes) -> None:
        """Write `content` at the start of a file; PinRequired where a PIN is wanted, CardFull when it does not fit."""
        self.select(path)
        for offset in range(0, len(content), _WRITE_CHUNK):
            part = content[offset : offset + _WRITE_CHUNK]
            command = CommandApdu(ins=Instruction.UPDATE_BINARY, p1=offset >> 8, p2=offset & 0xFF, data=part)
            response = self._channel.transmit(command)
            if response.sw in (StatusWord.FILE_FULL, StatusWord.WRONG_OFFSET):
                raise CardFull(f"file {path.hex()} is too small")
            _require(response, "UPDATE BINARY")


def _require(response: ResponseApdu, command: str) -> None:
    if response.sw == StatusWord.SECURITY_STATUS:
        raise PinRequired(f"{command} wants a PIN")
    if not response.ok:
        raise CardRefused(command, response.sw)


def _file_size(control: bytes) -> int | None:
    """Read the number of octets from the file control information (§7.4.3), if the card gave any."""
    templates = tlv.parse_tlvs(control, padded=True) if control else ()
    for template in templates:
        if template.tag in (_FCI, _FCP):
            objects = template.children()
            size = tlv.find(objects, 0x80) or tlv.find(objects, 0x81)
            return int.from_bytes(size[:4], "big") if size else None
    return None
