"""The centre's side of a connection token: its key, its proof, its access token, its calls.

What a vendor's system does, in small: the key is made here and stays here (0600, encrypted if a passphrase is
given); the proof names the issuer as its only audience, so no other server can use it.
"""

import secrets
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from pki.certificates import Certificate
from pki.compact_jws import sign_compact, signing_input
from pki.errors import ErrorCode, InvalidInput, VerificationFailed
from pki.jose import b64url, json_object
from pki.jwks import thumbprint
from pki.keys import PublicKey, SignatureAlgorithm, algorithm_for, hash_of
from webapp.gateway_cache import fetch_metadata
from webapp.http_client import HttpAnswer, ask

ASSERTION_LIFE: Final = timedelta(seconds=60)
ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"  # RFC 7523 §2.2


class CentreKey:
    """A centre's private key in this process's memory; satisfies `pki.keys.SigningKey`."""

    def __init__(self, private_key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
        """Take a P-256, P-384 or RSA key; InvalidInput (`key-refused`) for another curve."""
        self._private_key = private_key
        self._algorithm = algorithm_for(private_key.public_key())

    @staticmethod
    def generate() -> "CentreKey":
        """Make a P-256 key."""
        return CentreKey(ec.generate_private_key(ec.SECP256R1()))

    @staticmethod
    def load(pem: bytes, passphrase: bytes | None) -> "CentreKey":
        """Read a PEM private key; InvalidInput (`key-refused`) when it cannot be used or opened."""
        try:
            private_key = load_pem_private_key(pem, passphrase)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise InvalidInput(ErrorCode.KEY_REFUSED, "not a readable private key, or a wrong passphrase") from error
        if not isinstance(private_key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise InvalidInput(ErrorCode.KEY_REFUSED, "a connection key is EC or RSA")
        return CentreKey(private_key)

    @property
    def algorithm(self) -> SignatureAlgorithm:
        """Name the one algorithm this key signs with."""
        return self._algorithm

    def public_key(self) -> PublicKey:
        """Return the public half."""
        return self._private_key.public_key()

    def sign(self, message: bytes) -> bytes:
        """Sign the whole `message`; the signature has its X.509 encoding."""
        digest = hash_of(self._algorithm)
        if isinstance(self._private_key, rsa.RSAPrivateKey):
            return self._private_key.sign(message, padding.PKCS1v15(), digest)
        return self._private_key.sign(message, ec.ECDSA(digest))

    def pem(self, passphrase: bytes | None) -> bytes:
        """Return the private key as PKCS#8 PEM, encrypted when there is a passphrase; the caller guards it."""
        protection = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
        return self._private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)


@dataclass(frozen=True, slots=True, kw_only=True)
class Centre:
    """Who asks: client id (the connection token's id), key and certificate."""

    client_id: str
    key: CentreKey
    certificate: Certificate

    def __post_init__(self) -> None:
        if self.certificate.public_key != self.key.public_key():
            raise InvalidInput(ErrorCode.KEY_REFUSED, "key and certificate do not belong together")

    def assertion(self, issuer: str, now: datetime) -> str:
        """Make a proof for one request (RFC 7523 §2.2; the issuer is the sole audience)."""
        header = {
            "typ": "client-authentication+jwt",
            "alg": str(self.key.algorithm),
            "kid": thumbprint(self.key.public_key()),
            "x5t#S256": b64url(self.certificate.sha256),
        }
        issued = int(now.timestamp())
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": issuer,
            "iat": issued,
            "exp": issued + int(ASSERTION_LIFE.total_seconds()),
            "jti": secrets.token_urlsafe(16),
        }
        return sign_compact(signing_input(header, claims), self.key)

    def ask_token(
        self, issuer: str, scope: str | None, now: datetime, tls: ssl.SSLContext, *, mutual: bool
    ) -> tuple[int, dict[str, Any]]:
        """Ask the issuer's token endpoint; return status and members.

        `mutual` asks at the address for mutual TLS (RFC 8705 §5), with the client certificate that `tls` holds.
        """
        form = {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": self.assertion(issuer, now),
        }
        if scope:
            form["scope"] = scope
        endpoint = _token_endpoint(fetch_metadata(issuer, tls), mutual=mutual)
        answer = ask(endpoint, form=form, tls=tls)
        return answer.status, json_object(answer.body)


def _token_endpoint(metadata: Mapping[str, Any], *, mutual: bool) -> str:
    found = metadata.get("mtls_endpoint_aliases", {}) if mutual else metadata
    endpoint = found.get("token_endpoint") if isinstance(found, dict) else None
    if not isinstance(endpoint, str):
        raise VerificationFailed(ErrorCode.VERIFICATION_FAILED, "the issuer names no such token endpoint")
    return endpoint


def client_id_of(certificate: Certificate) -> str | None:
    """Return the connection token's id that the certificate names as its only otherName, or None."""
    names = certificate.san_other_names
    return names[0][1] if len(names) == 1 else None


def mutual_tls(tls: ssl.SSLContext, certificate: Path, key: Path, passphrase: bytes | None) -> ssl.SSLContext:
    """Put the client certificate into a TLS context; InvalidInput when the files do not serve."""
    try:
        # Never let OpenSSL ask on the terminal: without a passphrase it gets an empty one.
        tls.load_cert_chain(certificate, key, password=passphrase or b"")
    except (OSError, ssl.SSLError, ValueError) as error:
        raise InvalidInput(ErrorCode.KEY_REFUSED, "key and certificate cannot be used for TLS") from error
    return tls


def call(url: str, access_token: str, tls: ssl.SSLContext) -> HttpAnswer:
    """GET a protected address with an access token (RFC 6750 §2.1)."""
    return ask(url, headers={"Authorization": f"Bearer {access_token}"}, tls=tls)
