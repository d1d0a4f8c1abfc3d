"""The kinds of message that keys sign, what is known of a key, and what a reading yields."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from typing import Final, NamedTuple

from hsm.provider import KeyPurpose
from pki import der
from pki.keys import SignatureAlgorithm

Fields = tuple[der.Node, ...]

DIGEST: Final = "digest"  # the act of signing a bare digest, which is no message


@unique
class MessageKind(StrEnum):
    """Every kind of message a device key ever signs; the values are the acts of policy and journal."""

    CERTIFICATE = "certificate"
    REVOCATION_LIST = "crl"
    REQUEST = "request"
    OCSP_RESPONSE = "ocsp"
    TIMESTAMP_ATTRIBUTES = "timestamp"
    DATA_ATTRIBUTES = "data"
    ACCESS_TOKEN = "token"
    SEALED_JWS = "jws"
    SEALED_COSE = "cose"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningRule:
    """What is known of a key when its bytes are judged.

    `issuer_der` is None until the key is bound; `issuer_spki_der`, where it is known, is the public key of that
    issuer: an OCSP key then answers for certificates of that key alone.
    """

    purpose: KeyPurpose
    algorithm: SignatureAlgorithm
    spki_der: bytes
    issuer_der: bytes | None = None
    issuer_spki_der: bytes | None = None


class MessageRead(NamedTuple):
    """What a message is, and of it what must not run backwards from one message to the next.

    For a CRL: its scope, number and thisUpdate. For a time-stamp whose content was read: `instant` is its genTime.
    """

    kind: MessageKind
    crl_scope: bytes | None = None
    crl_number: int = 0
    instant: datetime | None = None
