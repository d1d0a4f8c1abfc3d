"""JSON and JWS, read strictly (RFC 7515, RFC 8725): one spelling, no duplicates, bounded.

The readers accept what the standards allow and nothing that two programs could read differently:
canonical base64url, unique member names, integers of sane size, bounded depth.
"""

import base64
import binascii
import codecs
import json
import re
from typing import Any, Final, NoReturn

from pki.errors import ErrorCode, InvalidInput

MAX_DEPTH: Final = 64
MAX_DIGITS: Final = 40
_ALPHABET: Final = re.compile(rb"[A-Za-z0-9_-]*")


def b64url(data: bytes) -> str:
    """Encode as base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64url(text: str | bytes) -> bytes:
    """Decode canonical base64url: no padding, no other alphabet, no spare bits set; InvalidInput otherwise."""
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(raw) % 4 == 1 or not _ALPHABET.fullmatch(raw):
        raise InvalidInput(ErrorCode.JSON_MALFORMED, "not base64url")
    try:
        data = base64.urlsafe_b64decode(raw + b"=" * (-len(raw) % 4))
    except binascii.Error as error:
        raise InvalidInput(ErrorCode.JSON_MALFORMED, "not base64url") from error
    if len(raw) % 4 and base64.urlsafe_b64encode(data).rstrip(b"=") != raw:
        raise InvalidInput(ErrorCode.JSON_MALFORMED, "base64url with spare bits set")
    return data


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidInput(ErrorCode.JSON_MALFORMED, f"{name} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidInput(ErrorCode.JSON_MALFORMED, "a member name appears twice")
    return found


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise InvalidInput(ErrorCode.JSON_MALFORMED, "number with too many digits")
    return int(text)


class JsonNumber(str):
    """A JSON number as it was written: `1.50` stays `1.50`."""

    __slots__ = ()


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_int=_integer, parse_constant=_refuse_constant)
_EXACT_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=JsonNumber, parse_float=JsonNumber, parse_constant=_refuse_constant
)
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
# A string without an end goes to the end of the text: looked for from each of its quotes, time would be quadratic.
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_BUT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


def _check_depth(data: bytes) -> None:
    depth = 0
    for bracket in _STRING.sub(b"", data).translate(None, _BUT_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            raise InvalidInput(ErrorCode.JSON_MALFORMED, "nested too deep")


def _decode(decoder: json.JSONDecoder, data: bytes) -> Any:
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH:
        _check_depth(data)
    try:
        value = decoder.decode(data.decode("utf-8"))
        if _SURROGATE.search(data):
            # An escaped half of a character has no UTF-8 (RFC 7493 §2.1): writing it out would fail.
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeError as error:
        raise InvalidInput(ErrorCode.JSON_MALFORMED, "not Unicode text in UTF-8") from error
    except (ValueError, RecursionError) as error:
        detail = "it begins with a byte order mark" if data.startswith(codecs.BOM_UTF8) else "not JSON"
        raise InvalidInput(ErrorCode.JSON_MALFORMED, detail) from error
    return value


def strict_json(data: bytes) -> Any:
    """Read UTF-8 JSON without BOM, duplicate members, NaN or trailing text; InvalidInput (`json-malformed`)."""
    return _decode(_DECODER, data)


def exact_json(data: bytes) -> Any:
    """Read as strictly, but every number comes as the `JsonNumber` that keeps its digits."""
    return _decode(_EXACT_DECODER, data)


def json_object(data: bytes) -> dict[str, Any]:
    """Read a JSON object strictly; InvalidInput for anything else."""
    value = strict_json(data)
    if not isinstance(value, dict):
        raise InvalidInput(ErrorCode.JSON_MALFORMED, "not an object")
    return value


def compact_json(value: object) -> bytes:
    """Write JSON without white space, members in the order given, as UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def canonical_json(value: object) -> bytes:
    """Write JSON with sorted members and no white space: for digests over our own records."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
