"""A PDF file as octets (ISO 32000-2): objects, cross-reference table, an identifier that is a digest of the content."""

import zlib
from hashlib import sha256


class Objects:
    """The objects of a file; numbers are given in the order of asking, so the same calls give the same octets."""

    def __init__(self) -> None:
        self._bodies: list[bytes] = []

    def reserve(self) -> int:
        """Return the number of an object that is written later."""
        self._bodies.append(b"")
        return len(self._bodies)

    def put(self, number: int, body: str) -> int:
        """Write a reserved object."""
        self._bodies[number - 1] = body.encode("latin-1")
        return number

    def add(self, body: str) -> int:
        """Write an object and return its number."""
        return self.put(self.reserve(), body)

    def stream(self, data: bytes, entries: str = "", *, plain: bool = False) -> int:
        """Write a stream, compressed unless it is to be `plain`."""
        packed = data if plain else zlib.compress(data, 9)
        how = "" if plain else " /Filter /FlateDecode"
        head = f"<< /Length {len(packed)}{how} {entries} >>\nstream\n".encode("latin-1")
        number = self.reserve()
        self._bodies[number - 1] = head + packed + b"\nendstream"
        return number

    def file(self, root: int, info: int) -> bytes:
        """Return the whole file."""
        out = bytearray(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
        places = []
        for number, body in enumerate(self._bodies, start=1):
            places.append(len(out))
            out += b"%d 0 obj\n" % number + body + b"\nendobj\n"
        name = sha256(out).hexdigest()[:32]
        start = len(out)
        out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(places) + 1)
        for place in places:
            out += b"%010d 00000 n \n" % place
        trailer = f"/Size {len(places) + 1} /Root {root} 0 R /Info {info} 0 R /ID [<{name}> <{name}>]"
        out += f"trailer\n<< {trailer} >>\nstartxref\n{start}\n%%EOF\n".encode("ascii")
        return bytes(out)


def text_string(text: str) -> str:
    """Write a text string (§7.9.2.2)."""
    return f"<FEFF{text.encode('utf-16-be', 'replace').hex().upper()}>"


def number(value: float) -> str:
    """Write a number with two decimals at most."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
