"""JSON Web Signatures as they stand in the bytes (RFC 7515, RFC 7797), read strictly.

Compact, flattened and general serialisations. Refused: `none` and MAC algorithms, keys or key addresses
in headers, `crit` that breaks a rule, members that are both protected and not, ambiguous base64url.
"""

from dataclasses import dataclass
from typing import Any, Final

from pki import jose
from pki.errors import ErrorCode, InvalidInput
from signer.parsers.model import MAX_SIGNATURES

MAX_MEMBERS: Final = 200_000
MAX_HEADER_OCTETS: Final = 512 * 1024

_REGISTERED: Final = frozenset(
    {"alg", "enc", "zip", "jku", "jwk", "kid", "x5u", "x5c", "x5t", "x5t#S256", "typ", "cty", "crit"}
    | {"epk", "apu", "apv", "iv", "tag", "p2s", "p2c"}
)
_FORBIDDEN: Final = frozenset(("jku", "jwk", "x5u", "enc", "zip"))
_UNDERSTOOD: Final = frozenset(
    ("b64", "iat", "sigT", "sigD", "sigX5ts", "sigPId", "sigPl", "srCms", "srAts", "adoTst", "x5t#o")
)  # RFC 7797 §3, ETSI TS 119 182-1 §5.2
_MEMBERS: Final = frozenset(("payload", "protected", "header", "signature", "signatures"))


def refuse(detail: str) -> InvalidInput:
    """Make the error of a JWS that cannot be accepted."""
    return InvalidInput(ErrorCode.JSON_MALFORMED, detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class Jws:
    """One signature of a JWS.

    `payload` is the payload as it stands in the signing input and `raw_payload` what it says, both None
    when detached; `unencoded` says that the two are the same (RFC 7797), else base64url lies between.
    """

    protected: bytes
    header: dict[str, Any]
    unprotected: dict[str, Any]
    payload: bytes | None
    raw_payload: bytes | None
    unencoded: bool
    signature: bytes
    signature_b64: bytes

    def signing_input(self, payload: bytes) -> bytes:
        """Return what the signature value covers (RFC 7515 §5.1)."""
        return self.protected + b"." + payload


@dataclass(frozen=True, slots=True, kw_only=True)
class RawJws:
    """The members of one signature before any of them is believed."""

    protected: bytes
    payload: bytes | None
    signature: bytes
    unprotected: dict[str, Any]


def split(data: bytes) -> tuple[RawJws, ...]:
    """Split a file into its signatures; InvalidInput when it is no JWS serialisation."""
    if data.lstrip(b" \t\r\n")[:1] == b"{":
        return _split_json(data)
    parts = data.split(b".", 3)
    if len(parts) != 3:
        raise refuse("a compact JWS has three parts")
    protected, payload, signature = parts
    return (RawJws(protected=protected, payload=payload or None, signature=signature, unprotected={}),)


def _split_json(data: bytes) -> tuple[RawJws, ...]:
    if data.count(b",") + data.count(b"[") + data.count(b"{") > MAX_MEMBERS:
        raise refuse("too many members")
    value = jose.json_object(data)
    if "signatures" in value:
        if not _MEMBERS.isdisjoint(value.keys() - {"payload", "signatures"}):
            raise refuse("flattened and general serialisation at once")
        entries = value["signatures"]
        if not isinstance(entries, list) or not 0 < len(entries) <= MAX_SIGNATURES:
            raise refuse(f"signatures is not an array of 1 to {MAX_SIGNATURES}")
    else:
        entries = [value]
    return tuple(_entry(entry, value.get("payload")) for entry in entries)


def _entry(entry: Any, payload: Any) -> RawJws:
    if not isinstance(entry, dict):
        raise refuse("a signature is not an object")
    unprotected = entry.get("header", {})
    if not isinstance(unprotected, dict):
        raise refuse("header is not an object")
    return RawJws(
        protected=_text(entry.get("protected"), "protected"),
        payload=None if payload is None or payload == "" else _text(payload, "payload"),
        signature=_text(entry.get("signature"), "signature"),
        unprotected=unprotected,
    )


def _text(value: Any, name: str) -> bytes:
    if not isinstance(value, str):
        raise refuse(f"{name} is not a string")
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise refuse(f"{name} is not Unicode text") from error


def read(raw: RawJws) -> Jws:
    """Read headers and check their rules; InvalidInput names the rule that is broken."""
    if len(raw.protected) > MAX_HEADER_OCTETS * 4 // 3:
        raise refuse("protected header too large")
    header = jose.json_object(jose.unb64url(raw.protected))
    if header.keys() & raw.unprotected.keys():
        raise refuse("a header member is both protected and unprotected")
    for name in sorted(_FORBIDDEN & (header.keys() | raw.unprotected.keys())):
        raise refuse(f"{name} in a header")
    for name in ("alg", "crit", "b64"):
        if name in raw.unprotected:
            raise refuse(f"{name} outside the protected header")
    _check_algorithm(header.get("alg"))
    _check_crit(header)
    unencoded = _is_unencoded(header)
    decoded = raw.payload
    if raw.payload is not None and not unencoded:
        decoded = jose.unb64url(raw.payload)
    return Jws(
        protected=raw.protected,
        header=header,
        unprotected=raw.unprotected,
        payload=raw.payload,
        raw_payload=decoded,
        unencoded=unencoded,
        signature=jose.unb64url(raw.signature),
        signature_b64=raw.signature,
    )


def _check_algorithm(name: Any) -> None:
    if not isinstance(name, str) or not name:
        raise refuse("alg is missing or not a string")
    if name.lower() == "none" or name.upper().startswith("HS"):
        raise refuse(f"alg {name[:16]} is no signature")


def _check_crit(header: dict[str, Any]) -> None:
    """Check the rules of `crit` (RFC 7515 §4.1.11): every name listed once, present, ours, not registered."""
    if "crit" not in header:
        return
    names = header["crit"]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise refuse("crit is not an array of names")
    if len(set(names)) != len(names):
        raise refuse("crit names a member twice")
    for name in names:
        if name in _REGISTERED:
            raise refuse("crit names a registered header")
        if name not in header:
            raise refuse("crit names an absent header")
        if name not in _UNDERSTOOD:
            raise refuse("crit names a header that is not understood")


def _is_unencoded(header: dict[str, Any]) -> bool:
    """Read `b64` (RFC 7797 §3): it must be a boolean, and critical when present as false."""
    if "b64" not in header:
        return False
    if not isinstance(header["b64"], bool):
        raise refuse("b64 is not a boolean")
    if "b64" not in header.get("crit", ()):
        raise refuse("b64 is not in crit (RFC 7797 §6)")
    return not header["b64"]
