"""Changes to DER that keep it well-formed: every length around a change is written anew."""

from dataclasses import dataclass
from random import Random
from typing import Final

from pki import der, oids
from pki.errors import InvalidInput

MAX_DEPTH: Final = 40
_INTERESTING: Final = (b"", b"\0", b"\xff", b"\x7f" + b"\xff" * 8, b"\x80" + bytes(19), b"\0" * 70, b"\x01" * 5000)
_TAGS: Final = (1, 2, 3, 4, 5, 6, 10, 12, 19, 22, 23, 24, 28, 30, 0x30, 0x31, 0x80, 0x81, 0x82, 0x86, 0xA0, 0xA1, 0xA2)
_OIDS: Final = tuple(
    der.parse(der.oid(value)).content
    for name, value in vars(oids).items()
    if name.isupper() and isinstance(value, str) and value[:1].isdigit()
)
_TIMES: Final = (b"000101000000Z", b"99991231235959Z", b"00000000000000Z", b"20260230120000Z", b"491231235959Z")


@dataclass(slots=True)
class Value:
    """One value: `parts` where it holds others, with `lead` octets before them (a BIT STRING's)."""

    tag: int
    content: bytes = b""
    parts: "list[Value] | None" = None
    lead: bytes = b""
    indefinite: bool = False

    def encode(self) -> bytes:
        """Write the value with the lengths that fit."""
        body = self.content if self.parts is None else self.lead + b"".join(part.encode() for part in self.parts)
        if self.indefinite and self.tag & 0x20:
            return bytes((self.tag, 0x80)) + body + b"\0\0"
        return der.header(self.tag, len(body)) + body

    def copy(self) -> "Value":
        """Return the same value, to be changed by itself."""
        parts = None if self.parts is None else [part.copy() for part in self.parts]
        return Value(self.tag, self.content, parts, self.lead, self.indefinite)


def read(data: bytes) -> Value | None:
    """Read what is DER all through, also inside octet and bit strings; None for anything else."""
    try:
        return _value(der.parse(data), 0)
    except InvalidInput:
        return None


def _value(node: der.Node, depth: int) -> Value:
    if node.tag & 0x20:
        return Value(node.tag, parts=[_value(one, depth + 1) for one in node.children()])
    lead = 1 if node.tag == der.BIT_STRING else 0
    if (
        depth < MAX_DEPTH
        and node.tag in (der.BIT_STRING, der.OCTET_STRING)
        and node.content[lead : lead + 1] == b"\x30"
    ):
        try:
            inner = _value(der.parse(node.content[lead:]), depth + 1)
        except InvalidInput:
            pass
        else:
            return Value(node.tag, parts=[inner], lead=node.content[:lead])
    return Value(node.tag, node.content)


def _listed(top: Value) -> list[tuple[Value, int]]:
    """Return each value that holds others, with the place of one of them."""
    found, waiting = [], [top]
    while waiting:
        value = waiting.pop()
        for at, part in enumerate(value.parts or ()):
            found.append((value, at))
            waiting.append(part)
    return found


def edited(data: bytes, other: bytes, chance: Random) -> bytes | None:
    """Change one to three places of `data`, also with parts of `other`; None where `data` is not DER."""
    top = read(data)
    if top is None:
        return None
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        places = _listed(top)
        if not places:
            return None
        _edit(top, *chance.choice(places), other, chance)
    return top.encode()


def _edit(top: Value, holder: Value, at: int, other: bytes, chance: Random) -> None:
    parts = holder.parts or []
    value = parts[at]
    match chance.randrange(12):
        case 0:
            del parts[at]
        case 1:
            parts.insert(at, value.copy())
        case 2:
            parts[at:at] = [value.copy() for _ in range(chance.choice((2, 8, 60, 300)))]
        case 3:
            value.tag = chance.choice(_TAGS)
        case 4:
            giver, place = chance.choice(_listed(top))
            parts[at] = (giver.parts or [value])[place].copy()
        case 5:
            foreign = read(other)
            places = [] if foreign is None else _listed(foreign)
            if places:
                giver, place = chance.choice(places)
                parts[at] = (giver.parts or [value])[place]
        case 6:
            for _ in range(chance.choice((1, 3, 60))):
                value = Value(chance.choice((0x30, 0x31, 0xA0, 0x24)), parts=[value])
            parts[at] = value
        case 7:
            value.indefinite = not value.indefinite
        case 8:
            parts[at], parts[0] = parts[0], parts[at]
        case 9:
            holder.parts, holder.content = None, holder.lead + b"".join(part.encode() for part in parts)[:-1]
        case _:
            _edit_content(value, chance)


def _edit_content(value: Value, chance: Random) -> None:
    if value.parts is not None:
        value.parts = [] if chance.random() < 0.3 else value.parts
        return
    if value.tag == der.OID and chance.random() < 0.8:
        value.content = chance.choice(_OIDS)
    elif value.tag in (der.UTC_TIME, der.GENERALIZED_TIME):
        value.content = chance.choice(_TIMES)
    elif chance.random() < 0.4 or not value.content:
        value.content = chance.choice(_INTERESTING)
    else:
        at = chance.randrange(len(value.content))
        changed = bytes((value.content[at] ^ 1 << chance.randrange(8),))
        value.content = value.content[:at] + changed + value.content[at + 1 :]
