"""Keys in a PKCS#11 token (OASIS PKCS#11 v2.40), through any vendor's module. The only file that imports `pkcs11`.

Single-threaded by contract: python-pkcs11 initialises modules without locking and releases the GIL, so
two threads in one process corrupt memory. The module gets digests, not messages: a network HSM then moves
32 octets in place of a 49 MB CRL.

Keys are found by CKA_ID, once for each opening; the token by its label and, where they are said, its serial
number and manufacturer: labels of objects are not unique and slots are renumbered.
"""

import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Final

import pkcs11
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass, TokenFlag

from hsm.device.contract import Generated, check_inputs
from hsm.errors import (
    ConfigurationInvalid,
    DeviceLost,
    HsmUnavailable,
    KeyAbsent,
    KeyMismatch,
    MechanismRefused,
    PinIncorrect,
    SessionLost,
)
from hsm.key_uri import Pkcs11Uri
from hsm.pin import PinSource, PinTries
from pki import der
from pki.errors import InvalidInput
from pki.keys import PublicKey, SignatureAlgorithm

REFERENCE_OCTETS: Final = 16

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

_TOLD: Final = (
    *_GUARDED,
    Attribute.PRIVATE,
    Attribute.SIGN,
    Attribute.DECRYPT,
    Attribute.UNWRAP,
    Attribute.DERIVE,
    Attribute.MODIFIABLE,
)

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

    def __init__(
        self,
        *,
        module_path: Path,
        token: Pkcs11Uri,
        pins: PinSource,
        tries: PinTries,
        random_octets: Callable[[int], bytes] = secrets.token_bytes,
        opening: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> None:
        """Take what `token` says of the token (`token`, `serial`, `manufacturer`); what it leaves out may be any.

        The module is initialised and logged in within an `opening()`.
        """
        self._module_path, self._token, self._pins, self._tries = module_path, token, pins, tries
        self._random_octets, self._opening = random_octets, opening
        self._library: Any = None
        self._open_session: pkcs11.Session | None = None
        self._signers: dict[tuple[bytes, SignatureAlgorithm], _Signer] = {}

    def open(self) -> None:
        """Initialise the module afresh, find the token and log in.

        A module that lost its device answers no call until it is finalised and initialised again, so
        every opening does that; it takes a few milliseconds. ConfigurationInvalid when there is no such module.
        """
        self.close()
        try:
            with self._opening():
                self._open_session = self._log_in()
        except BaseException:
            self.close()
            raise

    def _log_in(self) -> pkcs11.Session:
        if not self._module_path.is_file():
            raise ConfigurationInvalid(f"there is no module {self._module_path.name}")
        with _translated():
            self._library = self._load()
            token = self._find_token()
        if token.flags & (TokenFlag.USER_PIN_LOCKED | TokenFlag.USER_PIN_FINAL_TRY):
            raise PinIncorrect("the device counts the PIN as locked or one try short of it")
        with self._pins.read() as pin, self._tries.attempt(pin.identity), _translated():
            return token.open(rw=True, user_pin=pin.reveal())

    def _load(self) -> Any:
        try:
            return pkcs11.lib(str(self._module_path))
        except pkcs11.PKCS11Error as error:
            # What the module itself answers has a class of its own; the loader's complaint has not.
            if self._library is None and type(error) is pkcs11.PKCS11Error:
                raise ConfigurationInvalid(f"{self._module_path.name} cannot be loaded as a module") from error
            raise

    def _find_token(self) -> pkcs11.Token:
        found: list[pkcs11.Token] = []
        for slot in self._library.get_slots(token_present=True):
            # A neighbour's slot may be empty by now, or broken: that is not our token's fault.
            with contextlib.suppress(pkcs11.PKCS11Error):
                token = slot.get_token()
                if _is_meant(self._token, token):
                    found.append(token)
        if not found:
            raise DeviceLost("the token is not there")
        if len(found) > 1:
            raise KeyMismatch(f"{len(found)} tokens go by this name: say its serial number")
        return found[0]

    def close(self) -> None:
        """Finalise the module, which ends every session of this process."""
        self._open_session = None
        self._signers.clear()
        if self._library is not None:
            # A device that is gone cannot be asked to end its sessions; they ended with it.
            with contextlib.suppress(pkcs11.PKCS11Error):
                self._library.finalize()

    @property
    def _session(self) -> pkcs11.Session:
        if self._open_session is None:
            raise DeviceLost("not connected")
        return self._open_session

    def public_key(self, reference: bytes, algorithm: SignatureAlgorithm) -> PublicKey:
        """Read the public key object."""
        with _translated():
            return _read_public_key(self._find(ObjectClass.PUBLIC_KEY, reference), algorithm)

    def sign(self, reference: bytes, algorithm: SignatureAlgorithm, inputs: Sequence[bytes]) -> list[bytes]:
        """Sign each input with the key, which is searched for once after each opening."""
        check_inputs(algorithm, inputs)
        try:
            signer = self._signers.get((reference, algorithm))
            if signer is None:
                signer = self._signers[reference, algorithm] = self._find_signer(reference, algorithm)
            sign_one, size = signer
            values = [sign_one(item) for item in inputs]
        except pkcs11.PKCS11Error as error:
            raise _translate(error) from error
        if any(len(value) != size for value in values):
            raise DeviceLost("the device returned a signature of bad size")
        return values

    def _find_signer(self, reference: bytes, algorithm: SignatureAlgorithm) -> "_Signer":
        private = self._find(ObjectClass.PRIVATE_KEY, reference)
        if private.key_type is not _KEY_TYPES[algorithm]:
            raise KeyMismatch("the device holds a key of another kind")
        return _signer(private, algorithm)

    def generate(self, label: str, algorithm: SignatureAlgorithm, rsa_bits: int) -> Generated:
        """Generate a pair in the token under a random id; it is destroyed if the token does not guard it."""
        reference = self._random_octets(REFERENCE_OCTETS)
        names: dict[str, Any] = {"store": True, "label": label, "id": reference, "private_template": _PRIVATE_TEMPLATE}
        with _translated():
            # SoftHSM2 overlooks what other processes made before we make something, unless it looks first.
            if list(self._session.get_objects({Attribute.ID: reference})):
                raise KeyMismatch("the id of a new key is taken")
            if _KEY_TYPES[algorithm] is KeyType.RSA:
                public, private = self._session.generate_keypair(KeyType.RSA, rsa_bits, **names)
            else:
                edwards = algorithm is SignatureAlgorithm.EDDSA
                mechanism = Mechanism.EC_EDWARDS_KEY_PAIR_GEN if edwards else Mechanism.EC_KEY_PAIR_GEN
                public, private = self._curve(algorithm).generate_keypair(mechanism=mechanism, **names)
            try:
                public_key = _read_public_key(public, algorithm)
                _check_made(private, public_key, rsa_bits)
            except BaseException:
                private.destroy()
                public.destroy()
                raise
        return Generated(reference, public_key)

    def _curve(self, algorithm: SignatureAlgorithm) -> pkcs11.DomainParameters:
        edwards = algorithm is SignatureAlgorithm.EDDSA
        parameters = _EDWARDS25519_PARAMETERS if edwards else der.oid(_CURVES[algorithm][1])
        wanted = {Attribute.EC_PARAMS: parameters}
        return self._session.create_domain_parameters(_KEY_TYPES[algorithm], wanted, local=True)

    def attributes(self, reference: bytes) -> Mapping[str, str | int | bool]:
        """Return the private key object's attributes by their PKCS#11 names in lower case, and its `bits`."""
        with _translated():
            private = self._find(ObjectClass.PRIVATE_KEY, reference)
            found: dict[str, str | int | bool] = {"key_type": private.key_type.name, "label": private.label or ""}
            for attribute in _TOLD:
                with contextlib.suppress(pkcs11.AttributeTypeInvalid):
                    found[attribute.name.lower()] = bool(private[attribute])
            found["bits"] = _bits(private)
        return found

    def _find(self, kind: ObjectClass, reference: bytes) -> Any:
        """Find the one object of `kind` with this id. A token that was wiped answers with none, and no error."""
        found = list(self._session.get_objects({Attribute.CLASS: kind, Attribute.ID: reference}))
        if not found:
            raise KeyAbsent("the key is not in the token")
        if len(found) > 1:
            raise KeyMismatch(f"{len(found)} keys share one id")
        return found[0]


def _is_meant(wanted: Pkcs11Uri, token: pkcs11.Token) -> bool:
    serial = None if wanted.serial is None else wanted.serial.encode()
    said = ((wanted.token, token.label), (serial, token.serial), (wanted.manufacturer, token.manufacturer_id))
    return all(wish in (None, shown) for wish, shown in said)


def _bits(private: Any) -> int:
    if private.key_type is KeyType.RSA:
        return int.from_bytes(private[Attribute.MODULUS], "big").bit_length()
    parameters = private[Attribute.EC_PARAMS]
    return next((curve.key_size for curve, name in _CURVES.values() if parameters == der.oid(name)), 256)


def _check_made(private: Any, public_key: PublicKey, rsa_bits: int) -> None:
    """Refuse a new key that is not what was asked for, by the device's own word."""
    if not _is_guarded(private):
        raise MechanismRefused("the device does not promise that the key stays inside")
    if isinstance(public_key, rsa.RSAPublicKey) and public_key.key_size != rsa_bits:
        raise MechanismRefused(f"the device made a key of {public_key.key_size} bits")


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


_Signer = tuple[Callable[[bytes], bytes], int]


def _signer(private: Any, algorithm: SignatureAlgorithm) -> _Signer:
    """Return what signs one input with a key that was found, and how many octets it gives."""
    sign = private.sign
    if algorithm in _CURVES:
        size = 2 * ((_CURVES[algorithm][0].key_size + 7) // 8)
        return partial(sign, mechanism=Mechanism.ECDSA, buffer_size=256), size
    if algorithm is SignatureAlgorithm.EDDSA:
        return partial(sign, mechanism=Mechanism.EDDSA, buffer_size=256), 64
    size = len(private[Attribute.MODULUS])
    if algorithm is SignatureAlgorithm.PS256:
        parameters = (Mechanism.SHA256, pkcs11.MGF.SHA256, 32)
        return partial(sign, mechanism=Mechanism.RSA_PKCS_PSS, mechanism_param=parameters, buffer_size=size), size
    sign_encoded = partial(sign, mechanism=Mechanism.RSA_PKCS, buffer_size=size)
    return lambda digest: bytes(sign_encoded(_SHA256_DIGEST_INFO + digest)), size
