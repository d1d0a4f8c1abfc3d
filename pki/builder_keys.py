"""Private keys for `cryptography`'s builders that hand the whole message to a `SigningKey`.

`builder.sign(builder_key(key), hash_of(key.algorithm))` signs certificates, CSRs, CRLs and OCSP
responses with a key in an HSM or on a card. Exporting, decrypting and signing a bare digest are refused.
"""

from typing import Any, NoReturn

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric import utils as asymmetric_utils

from pki.errors import ErrorCode, InvalidInput
from pki.keys import SigningKey, hash_of


def _refuse(*_args: Any, **_kwargs: Any) -> NoReturn:
    raise TypeError("this key cannot leave its device")


def _check_hash(key: SigningKey, asked: object) -> None:
    if isinstance(asked, asymmetric_utils.Prehashed):
        raise TypeError("this key signs messages, not digests")
    expected = hash_of(key.algorithm)
    if not isinstance(asked, hashes.HashAlgorithm) or asked.name != expected.name:
        raise InvalidInput(ErrorCode.KEY_REFUSED, f"{key.algorithm} signs with {expected.name} only")


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
    """An RSA key whose private half stays in its device; PKCS#1 v1.5 only."""

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
        if padding.name != "EMSA-PKCS1-v1_5":
            raise InvalidInput(ErrorCode.KEY_REFUSED, f"padding {padding.name} is not offered")
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
