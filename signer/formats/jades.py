"""JAdES signatures over exact bytes (ETSI TS 119 182-1): flattened JSON JWS, enveloping, B and T.

The payload is the document as it came; nothing is re-serialised. The claimed time is `sigT`, which both
V1.1.1 (§5.2.1) and V1.2.1 allow; V1.2.1's `iat` is not known to older verifiers. As V1.1.1 §5.1.9 asks,
`crit` names every header parameter of §5.2 that is present: `sigT`, `srCms` and, with a policy, `sigPId`.

The signature timestamp (§5.3.4) covers the base64url text of the signature, as it stands in the JWS, not
the octets it decodes to. The standard's words allow both readings; the file of another implementation among
the shared vectors (`jades-lta.json`) recomputes only with the text, and a test keeps that.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from pki.certificates import Certificate
from pki.errors import ErrorCode, InvalidInput
from pki.jose import b64url, compact_json, json_object, unb64url
from pki.keys import SigningKey, jose_signature
from signer.formats.cms import digest_method
from signer.formats.signing import check_size, sign_checked, signer_of
from signer.timestamps.client import TimeStamper

FHIR_JSON: Final = "application/fhir+json"
PROOF_OF_ORIGIN: Final = "http://uri.etsi.org/01903/v1.2.2#ProofOfOrigin"
_COMMITMENT: Final = [{"commId": {"id": PROOF_OF_ORIGIN, "desc": "Proof of origin"}}]
_MEMBERS: Final = frozenset({"payload", "protected", "header", "signature"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SignaturePolicy:
    """The policy a signature is made under: its OID and the SHA-256 of its document (§5.2.7)."""

    oid: str
    sha256: bytes

    def header(self) -> dict[str, Any]:
        """Return the value of `sigPId`."""
        return {
            "id": {"id": f"urn:oid:{self.oid}"},
            "digAlg": "S256",
            "digVal": base64.b64encode(self.sha256).decode(),
        }


@lru_cache(maxsize=256)
def _certificate_members(chain: tuple[Certificate, ...]) -> tuple[str, tuple[str, ...]]:
    """Return `x5t#S256` (RFC 7515 §4.1.8) and `x5c` (§4.1.6, plain base64)."""
    return b64url(chain[0].sha256), tuple(base64.b64encode(certificate.der).decode() for certificate in chain)


def sign_jades(
    payload: bytes,
    key: SigningKey,
    chain: Sequence[Certificate],
    *,
    signed_at: datetime,
    content_type: str = FHIR_JSON,
    policy: SignaturePolicy | None = None,
) -> bytes:
    """Sign `payload` at level B-B and return the JWS as UTF-8 JSON.

    `chain` is the signer's certificate first, then intermediates; all go into `x5c`. ES256, ES384, RS256
    and PS256 keys sign; others are refused (`key-refused`). InvalidInput for an empty or oversized payload,
    SignerMismatch for a key that is not the certificate's.
    """
    check_size(payload)
    digest_method(key.algorithm)
    signer_of(key, chain)
    thumbprint, certificates = _certificate_members(tuple(chain))
    header: dict[str, Any] = {
        "alg": key.algorithm.value,
        "typ": "jose+json",
        "cty": content_type,
        "x5t#S256": thumbprint,
        "x5c": certificates,
        "sigT": signed_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "srCms": _COMMITMENT,
    }
    if policy is not None:
        header["sigPId"] = policy.header()
    header["crit"] = ["sigT", "srCms"] if policy is None else ["sigT", "srCms", "sigPId"]
    protected, body = b64url(compact_json(header)), b64url(payload)
    signature = sign_checked(key, f"{protected}.{body}".encode())
    value = b64url(jose_signature(key.algorithm, signature))
    return compact_json({"payload": body, "protected": protected, "signature": value})


def add_signature_timestamp(jws: bytes, stamper: TimeStamper) -> bytes:
    """Raise a flattened JWS to level T: `sigTst` joins the unprotected `etsiU` (§5.3.4).

    Payload, protected header and signature stay the same text. InvalidInput when `jws` is not a flattened
    JAdES signature with base64url `etsiU`, and the errors of `stamper`.
    """
    document = json_object(jws)
    payload, protected, signature = (document.get(name) for name in ("payload", "protected", "signature"))
    header = document.get("header", {})
    if not set(document) <= _MEMBERS or not isinstance(header, dict):
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "not a flattened JWS")
    if not (isinstance(payload, str) and isinstance(protected, str) and isinstance(signature, str)):
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "not a flattened JWS")
    components = header.get("etsiU", [])
    if not isinstance(components, list) or not all(isinstance(component, str) for component in components):
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "etsiU is not an array of base64url components")
    unb64url(signature)
    token = stamper.stamp(hashlib.sha256(signature.encode()).digest())
    component = {"sigTst": {"tstTokens": [{"val": base64.b64encode(token).decode()}]}}
    unprotected = {**header, "etsiU": [*components, b64url(compact_json(component))]}
    return compact_json({"payload": payload, "protected": protected, "header": unprotected, "signature": signature})
