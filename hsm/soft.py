"""Keys in memory, for tests, benches and `file:` URIs: unsafe, and refused in production settings."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from hsm.custodian.limits import KeyLimits
from hsm.custodian.purposes import SigningRule, check_issuer, check_message
from hsm.errors import KeyExists, KeyNotFound
from hsm.provider import Health, HealthState, KeyInfo, KeyPurpose, check_label, spki_of
from pki.clock import Clock
from pki.errors import Conflict, ErrorCode, InvalidInput, NotAllowed
from pki.keys import (
    DEFAULT_RSA_BITS,
    PublicKey,
    SignatureAlgorithm,
    SigningKey,
    algorithm_for,
    check_fits,
    hash_of,
    rsa_padding,
)

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

MIN_RSA_BITS = 2048
MAX_PEM_OCTETS = 65_536

_GENERATORS: dict[SignatureAlgorithm, Callable[[int], PrivateKey]] = {
    SignatureAlgorithm.ES256: lambda _bits: ec.generate_private_key(ec.SECP256R1()),
    SignatureAlgorithm.ES384: lambda _bits: ec.generate_private_key(ec.SECP384R1()),
    SignatureAlgorithm.RS256: lambda bits: rsa.generate_private_key(65537, bits),
    SignatureAlgorithm.PS256: lambda bits: rsa.generate_private_key(65537, bits),
    SignatureAlgorithm.EDDSA: lambda _bits: ed25519.Ed25519PrivateKey.generate(),
}


class UnsafeSoftKey:
    """A signing key whose private half lies in this process's memory."""

    def __init__(self, private_key: PrivateKey, algorithm: SignatureAlgorithm | None = None) -> None:
        """Wrap `private_key`, which signs with `algorithm` or else its kind's default.

        InvalidInput for a kind Mohr does not sign with, or an algorithm of another kind.
        """
        self._private_key, self._public_key = private_key, private_key.public_key()
        self._algorithm = algorithm_for(self._public_key) if algorithm is None else algorithm
        check_fits(self._algorithm, self._public_key)
        if isinstance(self._public_key, rsa.RSAPublicKey) and self._public_key.key_size < MIN_RSA_BITS:
            raise InvalidInput(ErrorCode.KEY_REFUSED, f"RSA keys have at least {MIN_RSA_BITS} bits")

    @classmethod
    def generate(cls, algorithm: SignatureAlgorithm, rsa_bits: int = DEFAULT_RSA_BITS) -> "UnsafeSoftKey":
        """Make a new key."""
        return cls(_GENERATORS[algorithm](rsa_bits), algorithm)

    @classmethod
    def from_pem(cls, pem: bytes, password: bytes | None = None) -> "UnsafeSoftKey":
        """Read a PEM private key (PKCS#8 or traditional); InvalidInput when it cannot be used."""
        try:
            private_key = load_pem_private_key(pem, password)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise InvalidInput(ErrorCode.KEY_REFUSED, "not a readable PEM private key, or a wrong password") from error
        if not isinstance(private_key, PrivateKey):
            raise InvalidInput(ErrorCode.KEY_REFUSED, "unsupported key type")
        return cls(private_key)

    @classmethod
    def load(cls, path: Path, password: bytes | None = None, *, production: bool = False) -> "UnsafeSoftKey":
        """Read a PEM key file; NotAllowed when `production` settings rule."""
        if production:
            raise NotAllowed(ErrorCode.KEY_REFUSED, "keys in files are refused in production")
        try:
            with path.open("rb") as file:
                pem = file.read(MAX_PEM_OCTETS + 1)
        except OSError as error:
            raise InvalidInput(ErrorCode.FILE_UNREADABLE, path.name) from error
        if len(pem) > MAX_PEM_OCTETS:
            raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, path.name)
        return cls.from_pem(pem, password)

    @property
    def algorithm(self) -> SignatureAlgorithm:
        """Name the one algorithm this key signs with."""
        return self._algorithm

    def public_key(self) -> PublicKey:
        """Return the public half."""
        return self._public_key

    def sign(self, message: bytes) -> bytes:
        """Sign the whole `message`; the signature has its X.509 encoding."""
        key = self._private_key
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return key.sign(message, ec.ECDSA(hash_of(self._algorithm)))
        if isinstance(key, rsa.RSAPrivateKey):
            return key.sign(message, rsa_padding(self._algorithm), hash_of(self._algorithm))
        return key.sign(message)

    def private_pem(self, password: bytes | None = None) -> bytes:
        """Return the private key as PKCS#8 PEM, encrypted when a password is given; the caller guards it."""
        protection = BestAvailableEncryption(password) if password else NoEncryption()
        return self._private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)


class _GuardedSoftKey:
    """A software key that signs by the custodian's rules, so that tests above see its refusals."""

    def __init__(self, key: UnsafeSoftKey, info: KeyInfo, limits: KeyLimits | None, clock: Clock) -> None:
        self.info = info
        self._key, self._limits, self._clock = key, limits, clock
        self._rule = SigningRule(purpose=info.purpose, algorithm=info.algorithm, spki_der=spki_of(key.public_key()))

    @property
    def algorithm(self) -> SignatureAlgorithm:
        return self._key.algorithm

    def public_key(self) -> PublicKey:
        return self._key.public_key()

    def sign(self, message: bytes) -> bytes:
        return self._sign(message)

    def sign_attributes(self, attributes: bytes, content: bytes) -> bytes:
        return self._sign(attributes, content)

    def _sign(self, message: bytes, content: bytes | None = None) -> bytes:
        now = None if self._limits is None else self._clock.now()
        check_message(self._rule, message, limits=self._limits, now=now, content=content)
        return self._key.sign(message)

    def set_issuer(self, issuer_der: bytes) -> None:
        check_issuer(self.info.purpose, issuer_der)
        if self._rule.issuer_der is not None:
            raise Conflict(ErrorCode.CONFLICT, f"{self.info.label} is already bound to an issuer")
        self._rule = replace(self._rule, issuer_der=issuer_der)


class UnsafeSoftKeys:
    """A `KeyProvider` in memory that reads what it signs, for unit tests of what is above it."""

    def __init__(self, clock: Clock, limits: Callable[[str], KeyLimits] | None = None) -> None:
        """Judge by the `limits` of each label too, where given: a policy's `limits` is such a function."""
        self._clock, self._limits = clock, limits
        self._keys: dict[str, _GuardedSoftKey] = {}

    def _find(self, label: str) -> _GuardedSoftKey:
        key = self._keys.get(label)
        if key is None:
            raise KeyNotFound(label)
        return key

    def signing_key(self, label: str) -> SigningKey:
        """Return the key that goes by `label`."""
        return self._find(label)

    def generate(
        self, label: str, algorithm: SignatureAlgorithm, purpose: KeyPurpose, rsa_bits: int = DEFAULT_RSA_BITS
    ) -> PublicKey:
        """Make a key in memory and return its public half."""
        check_label(label)
        if label in self._keys:
            raise KeyExists(label)
        key = UnsafeSoftKey.generate(algorithm, rsa_bits)
        identifier = sha256(spki_of(key.public_key())).hexdigest()[:32]
        info = KeyInfo(label=label, algorithm=algorithm, purpose=purpose, id=identifier, created=self._clock.now())
        limits = None if self._limits is None else self._limits(label)
        self._keys[label] = _GuardedSoftKey(key, info, limits, self._clock)
        return key.public_key()

    def keys(self) -> tuple[KeyInfo, ...]:
        """List the keys, by label."""
        return tuple(self._keys[label].info for label in sorted(self._keys))

    def health(self) -> Health:
        """Say that memory is there."""
        return Health(state=HealthState.OK)

    def close(self) -> None:
        """Forget the keys."""
        self._keys.clear()

    def sign_many(self, label: str, messages: Sequence[bytes]) -> tuple[bytes, ...]:
        """Sign each message."""
        key = self._find(label)
        return tuple(key.sign(message) for message in messages)

    def set_issuer(self, label: str, issuer_der: bytes) -> None:
        """Bind a key to an issuer's Name, once."""
        self._find(label).set_issuer(issuer_der)
