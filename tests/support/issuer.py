"""An issuer of access tokens in memory: what a gateway's test needs to make good and hostile tokens."""

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from pki.access_tokens import AccessClaims, Assurance
from pki.compact_jws import sign_compact
from pki.gateway import TokenDecision, verify_access_token
from pki.jose import b64url
from pki.jwks import Jwk, KeySet
from pki.keys import PublicKey, SignatureAlgorithm

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ISSUER = "https://exchange.example"
AUDIENCE = "https://exchange.example/hix"
CERTIFICATE = b"the DER of the centre's certificate"


@dataclass(frozen=True, slots=True)
class MemoryKey:
    """A P-256 or P-384 signing key in memory."""

    private_key: ec.EllipticCurvePrivateKey
    algorithm: SignatureAlgorithm = SignatureAlgorithm.ES256

    @staticmethod
    def new() -> "MemoryKey":
        return MemoryKey(ec.generate_private_key(ec.SECP256R1()))

    def public_key(self) -> PublicKey:
        return self.private_key.public_key()

    def sign(self, message: bytes) -> bytes:
        digest = hashes.SHA384() if self.algorithm is SignatureAlgorithm.ES384 else hashes.SHA256()
        return self.private_key.sign(message, ec.ECDSA(digest))


def good_claims(**changes: Any) -> AccessClaims:
    """The claims of a token that the gateway accepts at NOW, with `changes`."""
    claims = AccessClaims(
        issuer=ISSUER,
        subject="hix-0123456789abcdef",
        audience=AUDIENCE,
        client_id="hix-0123456789abcdef",
        issued_at=NOW - timedelta(minutes=1),
        expires_at=NOW + timedelta(minutes=9),
        jti="Zm9vYmFyYmF6cXV4",
        scopes=("hix.submit", "hix.dispense"),
        certificate_sha256=hashlib.sha256(CERTIFICATE).digest(),
        siam_id="12345678",
        assurance=Assurance.FRESH,
    )
    return replace(claims, **changes)


class Issuer:
    """One token key and the key set that names it."""

    def __init__(self) -> None:
        self.key = MemoryKey.new()
        self.jwk = Jwk.of(self.key.public_key())
        self.keys = KeySet(keys=(self.jwk,), as_of=NOW - timedelta(hours=1))

    def token(self, **changes: Any) -> str:
        """Sign the good claims with `changes`."""
        return sign_compact(good_claims(**changes).signing_input(self.jwk), self.key)

    def header(self, **changes: Any) -> dict[str, Any]:
        """The header of an access token with `changes`; a None takes the member away."""
        header = {"typ": "at+jwt", "alg": "ES256", "kid": self.jwk.kid, **changes}
        return {name: value for name, value in header.items() if value is not None}

    def forge(self, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """Sign any header and claims with the true key; a None takes the claim away."""
        members = {**good_claims().members(), **claims}
        kept = {name: value for name, value in members.items() if value is not None}
        return self.sign(json.dumps(header or self.header()).encode(), json.dumps(kept).encode())

    def sign(self, header: bytes, payload: bytes) -> str:
        """Sign any bytes as header and payload with the true key."""
        return sign_compact(f"{b64url(header)}.{b64url(payload)}".encode(), self.key)

    def decide(self, token: str | bytes, certificate: bytes | None = CERTIFICATE, **changes: Any) -> TokenDecision:
        """Ask the gateway about `token` at NOW."""
        asked = {"issuer": ISSUER, "audience": AUDIENCE, "certificate_der": certificate, "now": NOW, **changes}
        return verify_access_token(token, self.keys, **asked)
