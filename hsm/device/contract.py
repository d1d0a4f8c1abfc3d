"""What the custodian asks of a thing that holds keys: a PKCS#11 token, or a key store reached over a network.

A device never sees a message where the algorithm hashes: it is given what its primitive takes and gives
the raw value back (`device_input`; `pki.keys.x509_signature` makes the X.509 encoding of it).
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from hsm.errors import MechanismRefused
from pki.keys import PublicKey, SignatureAlgorithm

_DIGESTS: Final[Mapping[SignatureAlgorithm, Callable[..., Any]]] = {
    SignatureAlgorithm.ES256: hashlib.sha256,
    SignatureAlgorithm.ES384: hashlib.sha384,
    SignatureAlgorithm.RS256: hashlib.sha256,
    SignatureAlgorithm.PS256: hashlib.sha256,
}
_INPUT_OCTETS: Final = {algorithm: digest().digest_size for algorithm, digest in _DIGESTS.items()}


class Generated(NamedTuple):
    """A new key pair: the name the device finds it by, and its public half."""

    reference: bytes
    public_key: PublicKey


class Device(Protocol):
    """Hold private keys by reference. Used by one thread only.

    A reference is the CKA_ID in a PKCS#11 token, `name:version` (UTF-8) in a Transit engine. DeviceLost from
    any call means that `open` must be called again; SessionLost, that calling it once will do. KeyMismatch and
    MechanismRefused say something of the key, not of the connection.
    """

    def open(self) -> None:
        """Connect and log in, from any state; PinIncorrect ends all trying."""
        ...

    def close(self) -> None:
        """Log out and disconnect; never raises."""
        ...

    def public_key(self, reference: bytes, algorithm: SignatureAlgorithm) -> PublicKey:
        """Read the public half; DeviceLost when no such key is there, KeyMismatch for several or another kind."""
        ...

    def sign(self, reference: bytes, algorithm: SignatureAlgorithm, inputs: Sequence[bytes]) -> list[bytes]:
        """Sign what the primitive takes (see `device_input`), each with one use of the key; all or none.

        ECDSA values come as `r || s`, RSA values with the octets of the modulus, Ed25519 values as 64 octets.
        """
        ...

    def generate(self, label: str, algorithm: SignatureAlgorithm, rsa_bits: int) -> Generated:
        """Make a key pair whose private half is sensitive and was never extractable; MechanismRefused."""
        ...

    def attributes(self, reference: bytes) -> Mapping[str, str | int | bool]:
        """Return what the device itself says of the private key; nothing secret is among it."""
        ...


def device_input(algorithm: SignatureAlgorithm, message: bytes) -> bytes:
    """Return what the primitive of `algorithm` signs: the digest of `message`, or all of it for EdDSA."""
    digest = _DIGESTS.get(algorithm)
    return message if digest is None else digest(message).digest()


def check_inputs(algorithm: SignatureAlgorithm, inputs: Sequence[bytes]) -> None:
    """Refuse what is no digest of the algorithm's hash: devices sign a short one without a word."""
    size = _INPUT_OCTETS.get(algorithm)
    if size is not None and any(len(item) != size for item in inputs):
        raise MechanismRefused(f"{algorithm} takes digests of {size} octets")
