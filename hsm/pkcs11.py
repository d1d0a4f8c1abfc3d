"""Keys in a PKCS#11 token (OASIS PKCS#11 v2.40), through any vendor's module. The only file that imports `pkcs11`.

Single-threaded by contract: python-pkcs11 initialises modules without locking and releases the GIL, so
two threads in one process corrupt memory. Messages are hashed here and the module gets digests: a
network HSM then moves 32 octets in place of a 49 MB CRL.

Keys are found by CKA_ID, tokens by label: labels of objects are not unique and slots are renumbered.
"""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pkcs11
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass, TokenFlag

from hsm.device import Signer
from hsm.errors import DeviceLost, HsmUnavailable, KeyMismatch, MechanismRefused, PinIncorrect, SessionLost
from hsm.pin import PinSource, PinTries
from pki import der
from pki.errors import InvalidInput
from pki.keys import DEFAULT_RSA_BITS, PublicKey, SignatureAlgorithm

_CURVES: Final[dict[SignatureAlgorithm, tuple[ec.EllipticCurve, str]]] = {
    SignatureAlgorithm.ES256: (ec.SECP256R1(), "1.2.840.10045.3.1.7"),
    SignatureAlgorithm.ES384: (ec.SECP384R1(), "1.3.132.0.34"),
}
_KEY_TYPES: Final = {
    SignatureAlgorithm.ES256: KeyType.EC,
    SignatureAlgorithm.ES384: KeyType.EC,
    SignatureAlgorithm.RS256: KeyType.RSA,
    SignatureAlgorithm.PS256: KeyType.RSA,
    SignatureAlgorithm.EDDSA: KeyType.EC_EDWARDS,
}
_EDWARDS25519_PARAMETERS: Final = bytes.fromhex("130c656477617264733235353139")  # PrintableString "edwards25519"
_SHA256_DIGEST_INFO: Final = bytes.fromhex("3031300d060960864801650304020105000420")  # RFC 8017 §9.2 note 1

_PRIVATE_TEMPLATE: Final[dict[Attribute, Any]] = {
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.PRIVATE: True,
    Attribute.SIGN: True,
    Attribute.DECRYPT: False,
    Attribute.UNWRAP: False,
    Attribute.DERIVE: False,
}
_GUARDED: Final = {
    Attribute.SENSITIVE: True,
    Attribute.ALWAYS_SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.NEVER_EXTRACTABLE: True,
    Attribute.LOCAL: True,
}

_PIN_ERRORS: Final = (
    pkcs11.PinIncorrect,
    pkcs11.PinLocked,
    pkcs11.PinExpired,
    pkcs11.PinInvalid,
    pkcs11.PinLenRange,
    pkcs11.UserPinNotInitialized,
)
_SESSION_ERRORS: Final = (
    pkcs11.SessionHandleInvalid,
    pkcs11.SessionClosed,
    pkcs11.ObjectHandleInvalid,
    pkcs11.KeyHandleInvalid,
    pkcs11.UserNotLoggedIn,
    pkcs11.UserAlreadyLoggedIn,
    pkcs11.OperationActive,
)
_REFUSALS: Final = (
    pkcs11.MechanismInvalid,
    pkcs11.MechanismParamInvalid,
    pkcs11.KeyTypeInconsistent,
    pkcs11.KeySizeRange,
    pkcs11.DomainParamsInvalid,
    pkcs11.AttributeTypeInvalid,
    pkcs11.AttributeValueInvalid,
    pkcs11.TemplateInconsistent,
    pkcs11.TemplateIncomplete,
    pkcs11.FunctionNotSupported,
    pkcs11.DataLenRange,
)


def _translate(error: pkcs11.PKCS11Error) -> HsmUnavailable | MechanismRefused | PinIncorrect:
    """Sort a module's error by its cure. What is not known is a lost device: reconnecting is always safe."""
    name = type(error).__name__
    if isinstance(error, _PIN_ERRORS):
        return PinIncorrect(f"the device said {name}")
    if isinstance(error, _SESSION_ERRORS):
        return SessionLost(name)
    if isinstance(error, _REFUSALS):
        return MechanismRefused(f"the device said {name}")
    return DeviceLost(name)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except pkcs11.PKCS11Error as error:
        raise _translate(error) from error


class Pkcs11Device:
    """One token of one module, with one session that is logged in."""

    def __init__(self, *, module_path: Path, token_label: str, pins: PinSource, tries: PinTries) -> None:
        self._module_path, self._token_label = module_path, token_label
        self._pins, self._tries = pins, tries
        self._library: Any = None
        self._open_session: pkcs11.Session | None = None

    def open(self) -> None:
        """Initialise the module afresh, find the token by its label and log in.

        A module that lost its device answers no call until it is finalised and initialised again, so
        every opening does that; it takes a few milliseconds.
        """
        self.close()
        with _translated():
            self._library = pkcs11.lib(str(self._module_path))
            token = self._library.get_token(token_label=self._token_label)
        if token.flags & (TokenFlag.USER_PIN_LOCKED | TokenFlag.USER_PIN_FINAL_TRY):
            raise PinIncorrect("the device counts the PIN as locked or one try short of it")
        self._open_session = self._log_in(token)

    def _log_in(self, token: pkcs11.Token) -> pkcs11.Session:
        with self._pins.read() as pin:
            self._tries.begin()
            try:
                session = token.open(rw=True, user_pin=pin.reveal())
            except _PIN_ERRORS as error:
                raise PinIncorrect(f"the device said {type(error).__name__}") from error
            except pkcs11.PKCS11Error as error:
                self._tries.undecided()
                raise _translate(error) from error
        self._tries.succeeded()
        return session

    def close(self) -> None:
        """Finalise the module, which ends every session of this process."""
        self._open_session = None
        if self._library is not None:
            # A device that is gone cannot be asked to end its sessions; they ended with it.
            with contextlib.suppress(pkcs11.PKCS11Error):
                self._library.finalize()

    @property
    def _session(self) -> pkcs11.Session:
        if self._open_session is None:
            raise DeviceLost("not connected")
        return self._open_session

    def public_key(self, key_id: bytes, algorithm: SignatureAlgorithm) -> PublicKey:
        """Read the public key object."""
        with _translated():
            return _read_public_key(self._find(ObjectClass.PUBLIC_KEY, key_id), algorithm)

    def signer(self, key_id: bytes, algorithm: SignatureAlgorithm) -> Signer:
        """Find the private key once and keep its handle."""
        with _translated():
            private = self._find(ObjectClass.PRIVATE_KEY, key_id)
            if private.key_type is not _KEY_TYPES[algorithm]:
                raise KeyMismatch("the device holds a key of another kind")
        if algorithm in _CURVES:
            return _ecdsa_signer(private, algorithm)
        if _KEY_TYPES[algorithm] is KeyType.RSA:
            return _rsa_signer(private, algorithm)
        return _eddsa_signer(private)

    def generate(self, key_id: bytes, label: str, algorithm: SignatureAlgorithm) -> PublicKey:
        """Generate a pair in the token; the pair is destroyed if the token does not guard it."""
        names: dict[str, Any] = {"store": True, "label": label, "id": key_id, "private_template": _PRIVATE_TEMPLATE}
        with _translated():
            if _KEY_TYPES[algorithm] is KeyType.RSA:
                public, private = self._session.generate_keypair(KeyType.RSA, DEFAULT_RSA_BITS, **names)
            else:
                edwards = algorithm is SignatureAlgorithm.EDDSA
                mechanism = Mechanism.EC_EDWARDS_KEY_PAIR_GEN if edwards else Mechanism.EC_KEY_PAIR_GEN
                public, private = self._curve(algorithm).generate_keypair(mechanism=mechanism, **names)
            if not _is_guarded(private):
                private.destroy()
                public.destroy()
                raise MechanismRefused("the device does not promise that the key stays inside")
            return _read_public_key(public, algorithm)

    def _curve(self, algorithm: SignatureAlgorithm) -> pkcs11.DomainParameters:
        edwards = algorithm is SignatureAlgorithm.EDDSA
        parameters = _EDWARDS25519_PARAMETERS if edwards else der.oid(_CURVES[algorithm][1])
        wanted = {Attribute.EC_PARAMS: parameters}
        return self._session.create_domain_parameters(_KEY_TYPES[algorithm], wanted, local=True)

    def _find(self, kind: ObjectClass, key_id: bytes) -> Any:
        """Find the one object of `kind` with this id. A token that was wiped answers with none, and no error."""
        found = list(self._session.get_objects({Attribute.CLASS: kind, Attribute.ID: key_id}))
        if not found:
            raise DeviceLost("the key is not in the token")
        if len(found) > 1:
            raise KeyMismatch(f"{len(found)} keys share one id")
        return found[0]


def _is_guarded(private: Any) -> bool:
    """Tell whether the device itself says that this key was made inside and never leaves."""
    if any(private[attribute] is not value for attribute, value in _GUARDED.items()):
        return False
    secret = Attribute.PRIVATE_EXPONENT if private.key_type is KeyType.RSA else Attribute.VALUE
    try:
        private[secret]
    except pkcs11.AttributeSensitive:
        return True
    return False


def _read_public_key(public: Any, algorithm: SignatureAlgorithm) -> PublicKey:
    """Build the public key from a public key object's attributes."""
    try:
        if _KEY_TYPES[algorithm] is KeyType.RSA:
            modulus, exponent = public[Attribute.MODULUS], public[Attribute.PUBLIC_EXPONENT]
            return rsa.RSAPublicNumbers(int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big")).public_key()
        if algorithm is SignatureAlgorithm.EDDSA:
            return ed25519.Ed25519PublicKey.from_public_bytes(bare_point(public[Attribute.EC_POINT], 32))
        curve = _CURVES[algorithm][0]
        size = 1 + 2 * ((curve.key_size + 7) // 8)
        return ec.EllipticCurvePublicKey.from_encoded_point(curve, bare_point(public[Attribute.EC_POINT], size))
    except (ValueError, InvalidInput) as error:
        raise KeyMismatch("the device shows a public key of another kind") from error


def bare_point(value: bytes, size: int) -> bytes:
    """Return the point of `size` octets in a CKA_EC_POINT: an OCTET STRING by the standard, bare in some tokens."""
    return value if len(value) == size else der.parse(value).octets()


def _ecdsa_signer(private: Any, algorithm: SignatureAlgorithm) -> Signer:
    digest_of = hashlib.sha256 if algorithm is SignatureAlgorithm.ES256 else hashlib.sha384
    size = (_CURVES[algorithm][0].key_size + 7) // 8
    sign, mechanism = private.sign, Mechanism.ECDSA

    def sign_message(message: bytes) -> bytes:
        try:
            raw = sign(digest_of(message).digest(), mechanism=mechanism, buffer_size=256)
        except pkcs11.PKCS11Error as error:
            raise _translate(error) from error
        if len(raw) != 2 * size:
            raise DeviceLost("the device returned a signature of bad size")
        return encode_dss_signature(int.from_bytes(raw[:size], "big"), int.from_bytes(raw[size:], "big"))

    return sign_message


def _rsa_signer(private: Any, algorithm: SignatureAlgorithm) -> Signer:
    def sign_message(message: bytes) -> bytes:
        digest = hashlib.sha256(message).digest()
        with _translated():
            if algorithm is SignatureAlgorithm.PS256:
                mechanism, parameters = Mechanism.RSA_PKCS_PSS, (Mechanism.SHA256, pkcs11.MGF.SHA256, 32)
                return bytes(private.sign(digest, mechanism=mechanism, mechanism_param=parameters, buffer_size=1024))
            return bytes(private.sign(_SHA256_DIGEST_INFO + digest, mechanism=Mechanism.RSA_PKCS, buffer_size=1024))

    return sign_message


def _eddsa_signer(private: Any) -> Signer:
    def sign_message(message: bytes) -> bytes:
        with _translated():
            return bytes(private.sign(message, mechanism=Mechanism.EDDSA, buffer_size=256))

    return sign_message
