"""Prescription codes built by hand, so that exactly one thing can be wrong with them."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pki import base45, cbor, der
from tests.support.forge import Held
from tests.support.pki import NOW

Header = dict[cbor.Key, cbor.Value]
ALG, CRIT, KID, X5CHAIN, X5T = 1, 2, 4, 33, 34
EXP, NBF, IAT = 4, 5, 6


def seconds(moment: datetime) -> int:
    """Return a NumericDate."""
    return int(moment.timestamp())


@dataclass(kw_only=True)
class CoseForge:
    """The parts of a COSE_Sign1 over claims.

    `protected` and `claims` change the standard ones, a value of None removes one; `raw_*` take their place as they
    are. `tagged` wraps the four parts.
    """

    holder: Held
    protected: Header = field(default_factory=dict)
    unprotected: Header = field(default_factory=dict)
    claims: Header = field(default_factory=dict)
    raw_protected: bytes | None = None
    raw_unprotected: bytes | None = None
    raw_payload: bytes | None = None
    detached: bool = False
    tagged: Callable[[bytes], bytes] = field(default=lambda parts: b"\xd2" + parts)
    spoil: Callable[[bytes], bytes] = field(default=lambda value: value)
    prefix: bytes = b"IRX1:"

    def payload(self) -> bytes:
        """Return what is signed."""
        if self.raw_payload is not None:
            return self.raw_payload
        standard: Header = {IAT: seconds(NOW - timedelta(days=2)), EXP: seconds(NOW + timedelta(days=28))}
        return cbor.encode(_kept(standard | self.claims))

    def cose(self) -> bytes:
        """Return the COSE_Sign1."""
        standard: Header = {ALG: -7, X5CHAIN: self.holder.certificate.der}
        protected = self.raw_protected
        if protected is None:
            protected = cbor.encode(_kept(standard | self.protected))
        payload = self.payload()
        signed = self.holder.key.sign(cbor.encode(["Signature1", protected, b"", payload]))
        r, s = (node.integer() for node in der.parse(signed).sequence())
        value = self.spoil(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
        unprotected = self.raw_unprotected
        if unprotected is None:
            unprotected = cbor.encode(self.unprotected)
        shown = None if self.detached else payload
        return self.tagged(b"\x84" + cbor.encode(protected) + unprotected + cbor.encode(shown) + cbor.encode(value))

    def text(self) -> bytes:
        """Return the text of the QR code."""
        return self.prefix + base45.encode(zlib.compress(self.cose()))


def _kept(members: Header) -> Header:
    return {label: value for label, value in members.items() if value is not None}
