"""Reading what is not DER: signing inputs of JWS (RFC 7515 §5.1) and COSE (RFC 9052 §4.4), texts of signed notes."""

import re
from datetime import UTC, datetime
from typing import Any, Final

from hsm.custodian.limits import Bounds
from hsm.custodian.reading.messages import MessageKind, MessageRead, SigningRule
from hsm.errors import PurposeRefused
from pki import cbor
from pki.jose import json_object, unb64url
from pki.keys import COSE_ALGORITHMS

MAX_NOTE_OCTETS: Final = 65_536
MAX_JOSE_HEADER_OCTETS: Final = 65_536
MAX_TOKEN_OCTETS: Final = 65_536
MAX_COSE_OCTETS: Final = 65_536

_ALG: Final = 1  # RFC 9052 §3.1
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")
_BASE64URL: Final = re.compile(rb"[A-Za-z0-9_-]+")
_READ_TOKEN: Final = MessageRead(MessageKind.ACCESS_TOKEN)
_READ_COSE: Final = MessageRead(MessageKind.SEALED_COSE)
_READ_JWS: Final = MessageRead(MessageKind.SEALED_JWS)


def is_note(message: bytes) -> bool:
    """Tell whether this is the text of a signed note: UTF-8 lines without control characters (C2SP signed-note)."""
    if not 2 <= len(message) <= MAX_NOTE_OCTETS or message[-1] != 0x0A:
        return False
    try:
        text = bytes(message).decode()
    except UnicodeDecodeError:
        return False
    return _CONTROL.search(text) is None


def read_jws(rule: SigningRule, message: bytes, bounds: Bounds | None) -> MessageRead:
    """Judge a JWS signing input by its header's type and algorithm, an access token by its claims too."""
    payload_at = message.find(b".", 0, MAX_JOSE_HEADER_OCTETS) + 1
    if not payload_at or not _BASE64URL.fullmatch(message, payload_at):
        raise PurposeRefused("not a JWS signing input")
    header = json_object(unb64url(message[: payload_at - 1]))
    if "b64" in header or header.get("alg") != rule.algorithm:
        raise PurposeRefused("the JOSE header names another algorithm or an unencoded payload")
    if header.get("typ") == "at+jwt":  # RFC 9068 §2.1
        if len(message) > MAX_TOKEN_OCTETS:
            raise PurposeRefused("access token too large")
        claims = json_object(unb64url(message[payload_at:]))
        if bounds is not None:
            _check_claims(claims, bounds)
        return _READ_TOKEN
    if header.get("typ") == "jose+json":  # RFC 7515 §9.2.2
        return _READ_JWS
    raise PurposeRefused("a JWS of no type that any key signs")


def read_cose(rule: SigningRule, message: bytes) -> MessageRead:
    """Judge the Sig_structure of a COSE_Sign1: one spelling, no external data, `alg` of this key, claims as a map."""
    if len(message) > MAX_COSE_OCTETS:
        raise PurposeRefused("a COSE structure too large")
    structure, deterministic = cbor.decode(bytes(message))
    if not isinstance(structure, list) or len(structure) != 4 or not deterministic:
        raise PurposeRefused("not a Sig_structure in its deterministic encoding")
    context, protected, external, payload = structure
    if context != "Signature1" or external != b"":
        raise PurposeRefused("a Sig_structure of no kind that any key signs")
    header, claims = (cbor.decode(part)[0] if isinstance(part, bytes) else None for part in (protected, payload))
    if not isinstance(header, dict) or header.get(_ALG) != COSE_ALGORITHMS.get(rule.algorithm):
        raise PurposeRefused("the COSE header names another algorithm")
    if not isinstance(claims, dict):
        raise PurposeRefused("a COSE payload that is no map of claims")
    return _READ_COSE


def _check_claims(claims: dict[str, Any], bounds: Bounds) -> None:
    """RFC 9068 §2.2: who says it, since when and how long."""
    limits = bounds.limits
    if limits.token_issuer is not None and claims.get("iss") != limits.token_issuer:
        raise PurposeRefused("an access token of another issuer")
    issued, expires = _instant(claims.get("iat")), _instant(claims.get("exp"))
    if issued >= expires:
        raise PurposeRefused("an access token that never is valid")
    bounds.check_begins(issued, "iat")
    bounds.check_ends(issued, expires, limits.token_seconds, "exp")


def _instant(value: object) -> datetime:
    if type(value) is not int:
        raise PurposeRefused("an access token without iat and exp in whole seconds")
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise PurposeRefused("not a time") from error
