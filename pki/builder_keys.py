"""Private keys for `cryptography`'s builders that hand the whole message to a `SigningKey`.

`builder.sign(builder_key(key), hash_of(key.algorithm), rsa_padding=builder_padding(key.algorithm))` signs
certificates, CSRs and CRLs with a key in an HSM or on a card. The builder of OCSP responses takes no padding:
it signs with EC and PKCS#1 v1.5 keys, and a PSS key refuses it. Exporting, decrypting and signing a bare
digest are refused.
"""

from typing import Any, NoReturn

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric import utils as asymmetric_utils

from pki.errors import ErrorCode, InvalidInput
from pki.keys import PS256_PADDING, SignatureAlgorithm, SigningKey, hash_of


def _refuse(*_args: Any, **_kwargs: Any) -> NoReturn:
    raise TypeError("this key cannot leave its device")


def _check_hash(key: SigningKey, asked: object) -> None:
    if isinstance(asked, asymmetric_utils.Prehashed):
        raise TypeError("this key signs messages, not digests")
    expected = hash_of(key.algorithm)
    if not isinstance(asked, hashes.HashAlgorithm) or asked.name != expected.name:
        raise InvalidInput(ErrorCode.KEY_REFUSED, f"{key.algorithm} signs with {expected.name} only")


def builder_padding(algorithm: SignatureAlgorithm) -> padding.PSS | None:
    """Return what a builder must be told as `rsa_padding`: None unless the key signs with PSS."""
    return PS256_PADDING if algorithm is SignatureAlgorithm.PS256 else None


def _check_padding(key: SigningKey, asked: object) -> None:
    pss = key.algorithm is SignatureAlgorithm.PS256
    if not (asked == PS256_PADDING if pss else isinstance(asked, padding.PKCS1v15)):
        raise InvalidInput(ErrorCode.KEY_REFUSED, f"{key.algorithm} does not sign with this padding")


class DeviceEcKey(ec.EllipticCurvePrivateKey):
    """An EC key whose private half stays in its device."""

    def __init__(self, key: SigningKey, public_key: ec.EllipticCurvePublicKey) -> None:
        self._key, self._public_key = key, public_key

    @property
    def curve(self) -> ec.EllipticCurve:
        """The named curve."""
        return self._public_key.curve

    @property
    def key_size(self) -> int:
        """Bits of the curve's field."""
        return self._public_key.key_size

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Return the public half."""
        return self._public_key

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """Sign `data` as a whole; TypeError for a prehashed digest."""
        _check_hash(self._key, signature_algorithm.algorithm)
        return self._key.sign(bytes(data))

    def __copy__(self) -> "DeviceEcKey":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "DeviceEcKey":
        return self

    exchange = private_numbers = private_bytes = _refuse


class DeviceRsaKey(rsa.RSAPrivateKey):
    """An RSA key whose private half stays in its device; it signs with the one padding of its algorithm."""

    def __init__(self, key: SigningKey, public_key: rsa.RSAPublicKey) -> None:
        self._key, self._public_key = key, public_key

    @property
    def key_size(self) -> int:
        """Bits of the modulus."""
        return self._public_key.key_size

    def public_key(self) -> rsa.RSAPublicKey:
        """Return the public half."""
        return self._public_key

    def sign(self, data: Any, padding: Any, algorithm: Any) -> bytes:
        """Sign `data` as a whole; TypeError for a prehashed digest."""
        _check_padding(self._key, padding)
        _check_hash(self._key, algorithm)
        return self._key.sign(bytes(data))

    def __copy__(self) -> "DeviceRsaKey":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "DeviceRsaKey":
        return self

    decrypt = private_numbers = private_bytes = _refuse


def builder_key(key: SigningKey) -> DeviceEcKey | DeviceRsaKey:
    """Wrap `key` for `cryptography`'s builders; InvalidInput for a type they do not need."""
    public_key = key.public_key()
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        return DeviceEcKey(key, public_key)
    if isinstance(public_key, rsa.RSAPublicKey):
        return DeviceRsaKey(key, public_key)
    raise InvalidInput(ErrorCode.KEY_REFUSED, "builders take EC and RSA keys")
