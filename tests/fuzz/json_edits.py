"""Changes to JSON members, also to those inside base64url headers and to the DER inside base64, encoded again."""

import base64
import binascii
import json
import re
from random import Random
from typing import Any, Final

from pki.jose import b64url
from tests.fuzz import der_edits

_VALUES: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, -1, 1.5, 1e300, 2**63, 10**30, [], {}, [[]], [1], ["b64"], ["sigT", "sigT"], ["x"] * 300),
    *("", "A", "ES256", "none", "HS256", "\0", "سلام", "2026-11-22T09:00:00Z", "A" * 5000),
    *({"": ""}, {"val": "AA=="}, {"digAlg": "S256", "digVal": "AA"}),
)
_NAMES: Final = tuple(
    re.findall(
        r"\S+",
        "alg crit b64 x5c x5u x5t#S256 x5t#o sigX5ts sigD sigT iat exp cty typ kid etsiU sigTst arcTst tstTokens val"
        " xVals rVals tstVD crlVals ocspVals cSig header protected payload signature signatures mId pars hashM hashV",
    )
)


def edited(data: bytes, other: bytes, chance: Random) -> bytes | None:
    """Change a member of a JSON file, or a part of a compact JWS; None where `data` is neither."""
    if data[:1] in (b"{", b"["):
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            return None
        return _written(_changed(value, other, chance))
    parts = data.split(b".")
    if len(parts) != 3:
        return None
    at = chance.randrange(3)
    parts[at] = str(_changed_text(parts[at].decode("latin-1"), other, chance)).encode("utf-8", "replace")
    return b".".join(parts)


def _written(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _changed(value: Any, other: bytes, chance: Random) -> Any:
    if isinstance(value, dict) and value:
        return _changed_object(value, other, chance)
    if isinstance(value, list) and value:
        at = chance.randrange(len(value))
        match chance.randrange(6):
            case 0:
                return value[:at] + value[at + 1 :]
            case 1:
                return value + [value[at]] * chance.choice((1, 60, 300))
            case _:
                return [*value[:at], _changed(value[at], other, chance), *value[at + 1 :]]
    if isinstance(value, str) and len(value) > 3 and chance.random() < 0.9:
        return _changed_text(value, other, chance)
    return chance.choice(_VALUES)


def _changed_object(value: dict[str, Any], other: bytes, chance: Random) -> dict[str, Any]:
    name = chance.choice(list(value))
    match chance.randrange(10):
        case 0:
            return {key: one for key, one in value.items() if key != name}
        case 1:
            return {**value, chance.choice(_NAMES): chance.choice(_VALUES)}
        case 2:
            return {**value, chance.choice(_NAMES): value[name]}
        case 3:
            return {**value, name: _nested(value[name], chance)}
        case 4:
            return {**value, name: chance.choice(_VALUES)}
        case _:
            return {**value, name: _changed(value[name], other, chance)}


def _nested(value: Any, chance: Random) -> Any:
    for _ in range(chance.choice((1, 30, 80))):
        value = [value] if chance.random() < 0.5 else {"a": value}
    return value


def _changed_text(text: str, other: bytes, chance: Random) -> Any:
    """Change what a string holds in base64: JSON, DER or octets; or its letters."""
    plain = text.rstrip("=")
    url = "-" in text or "_" in text or plain == text
    try:
        octets = base64.b64decode(plain.replace("-", "+").replace("_", "/") + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        octets = b""
    if octets and chance.random() < 0.9:
        if octets[:1] in (b"{", b"["):
            try:
                changed = _written(_changed(json.loads(octets), other, chance))
            except (ValueError, RecursionError):
                changed = octets[:-1]
        else:
            changed = der_edits.edited(octets, other, chance) or octets[: chance.randrange(len(octets))]
        return b64url(changed) if url else base64.b64encode(changed).decode()
    at = chance.randrange(len(text) + 1)
    return (
        text[:at] + chance.choice(("", "=", "+", "\n", "\u202e", "A" * 70, "\ud800")) + text[at + chance.randrange(3) :]
    )
