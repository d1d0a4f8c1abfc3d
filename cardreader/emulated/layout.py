"""The files of a new emulated card: two key places, two PINs and their PUK, nothing generated yet.

A host finds everything by ISO/IEC 7816-15 discovery: references of algorithms in TokenInfo, of PINs in the
AODF, of keys in the PrKDF, and free files in EF.UnusedSpace.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cardreader.cards import directory_encoding as encoding
from cardreader.cards.directory import (
    AlgorithmInfo,
    Application,
    FilePath,
    PinEntry,
    PrivateKeyEntry,
    TokenInfo,
)
from cardreader.cards.objects import KeyUsage
from cardreader.emulated.state import SCRYPT_COST, CardState, KeyRecord, PinRecord, StateFile, new_pin
from cardreader.pin import Pin, PinFormat, wipe
from pki.errors import Conflict, ErrorCode

PKCS15_AID: Final = bytes.fromhex("A000000063504B43532D3135")
MF: Final = "3F00"
APPLICATION: Final = "3F005015"
MANUFACTURER: Final = "Mohr emulated card"

AUTH_PIN, SIGN_PIN, PUK = 0x01, 0x02, 0x03
AUTH_KEY, SIGN_KEY = 0x01, 0x02

# Algorithm references. OpenSC's isoApplet driver sends 11 and 21; 21 is not announced in TokenInfo (see `keys`).
RSA_PKCS1, ECDSA_ISO_APPLET, ECDSA, GENERATE_RSA, GENERATE_EC = 0x11, 0x21, 0x22, 0xF3, 0xEC

# PKCS #11 mechanisms and TokenInfo operations
_CKM_RSA_PKCS, _CKM_ECDSA, _CKM_RSA_GENERATE, _CKM_EC_GENERATE = 0x0001, 0x1041, 0x0000, 0x1040
_COMPUTE_SIGNATURE, _GENERATE_KEY = 1, 7

_ALGORITHMS: Final = tuple(
    AlgorithmInfo(mechanism=mechanism, operations=frozenset((operation,)), reference=reference)
    for mechanism, operation, reference in (
        (_CKM_RSA_PKCS, _COMPUTE_SIGNATURE, RSA_PKCS1),
        (_CKM_ECDSA, _COMPUTE_SIGNATURE, ECDSA),
        (_CKM_RSA_GENERATE, _GENERATE_KEY, GENERATE_RSA),
        (_CKM_EC_GENERATE, _GENERATE_KEY, GENERATE_EC),
    )
)

_DIRECTORIES: Final = {8: "4401", 0: "4402", 1: "4403", 4: "4404"}  # ODF kind -> file
_PUBLIC_KEY_FILES: Final = ("3301", "3302", "3303")
_CERTIFICATE_FILES: Final = ("3401", "3402", "3403")
_PUBLIC_KEY_OCTETS: Final = 512
_CERTIFICATE_OCTETS: Final = 4096

_AUTH_FORMAT: Final = PinFormat(min_length=4, max_length=12, stored_length=16)
_SIGN_FORMAT: Final = PinFormat(min_length=6, max_length=12, stored_length=16)
_PUK_FORMAT: Final = PinFormat(min_length=8, max_length=12, stored_length=16)


@dataclass(frozen=True, slots=True, kw_only=True)
class InitialSecrets:
    """The PINs and the PUK a new card starts with."""

    auth_pin: Pin
    sign_pin: Pin
    puk: Pin


def create_card(
    path: Path, initial: InitialSecrets, *, serial: bytes, label: str = "Mohr emulated", scrypt_cost: int = SCRYPT_COST
) -> StateFile:
    """Make a blank card in a new state file; PinFormatRefused for PINs outside the card's limits.

    Conflict when the file exists. `scrypt_cost` is lowered by tests alone.
    """
    if path.exists():
        raise Conflict(ErrorCode.CONFLICT, "the emulated card's state file exists already")
    file = StateFile(path)
    file.save(blank_state(initial, serial=serial, label=label, scrypt_cost=scrypt_cost))
    return file


def blank_state(initial: InitialSecrets, *, serial: bytes, label: str, scrypt_cost: int = SCRYPT_COST) -> CardState:
    """Build the state of a blank card."""
    files = {f"{APPLICATION}{name}": content for name, content in _application_files(serial, label).items()}
    directory = Application(aid=PKCS15_AID, label=label, path=bytes.fromhex(APPLICATION))
    fixed = {"5031", "5032", "4401"}
    return CardState(
        files={f"{MF}2F00": _filled(encoding.ef_dir(directory), 128), **files},
        writable=[name for name in files if name[-4:] not in fixed],
        pins={
            AUTH_PIN: _pin_record(initial.auth_pin, _AUTH_FORMAT, PUK, scrypt_cost),
            SIGN_PIN: _pin_record(initial.sign_pin, _SIGN_FORMAT, PUK, scrypt_cost),
            PUK: _pin_record(initial.puk, _PUK_FORMAT, None, scrypt_cost),
        },
        keys={
            AUTH_KEY: KeyRecord(pin_reference=AUTH_PIN, asks_always=False),
            SIGN_KEY: KeyRecord(pin_reference=SIGN_PIN, asks_always=True),
        },
    )


def _pin_record(pin: Pin, wanted: PinFormat, puk_reference: int | None, cost: int) -> PinRecord:
    digits = pin.padded(PinFormat(min_length=wanted.min_length, max_length=wanted.max_length))
    try:
        return new_pin(
            bytes(digits),
            min_length=wanted.min_length,
            max_length=wanted.max_length,
            puk_reference=puk_reference,
            cost=cost,
        )
    finally:
        wipe(digits)


def _application_files(serial: bytes, label: str) -> dict[str, bytes]:
    info = TokenInfo(serial=serial, manufacturer=MANUFACTURER, label=label, algorithms=_ALGORITHMS)
    spaces = [_space(name, _PUBLIC_KEY_OCTETS) for name in _PUBLIC_KEY_FILES]
    spaces += [_space(name, _CERTIFICATE_OCTETS) for name in _CERTIFICATE_FILES]
    pins = (
        _pin_entry(b"\x01", "Auth PIN", AUTH_PIN, _AUTH_FORMAT, b"\x03"),
        _pin_entry(b"\x02", "Sign PIN", SIGN_PIN, _SIGN_FORMAT, b"\x03"),
        _pin_entry(b"\x03", "PUK", PUK, _PUK_FORMAT, None),
    )
    slots = (
        _slot(b"\x01", "Authentication key", KeyUsage.AUTH, AUTH_KEY),
        _slot(b"\x02", "Signature key", KeyUsage.SIGN, SIGN_KEY),
    )
    files = {
        "5031": _filled(encoding.odf({kind: FilePath(path=_full(name)) for kind, name in _DIRECTORIES.items()}), 128),
        "5032": _filled(encoding.token_info(info), 256),
        "4401": _filled(b"".join(map(encoding.pin, pins)), 512),
        "4402": _filled(b"".join(map(encoding.private_key, slots)), 1024),
        "4403": bytes(1024),
        "4404": bytes(1024),
        "5033": _filled(encoding.unused_space(spaces), 512),
    }
    files.update((name, bytes(_PUBLIC_KEY_OCTETS)) for name in _PUBLIC_KEY_FILES)
    files.update((name, bytes(_CERTIFICATE_OCTETS)) for name in _CERTIFICATE_FILES)
    return files


def _full(name: str) -> bytes:
    return bytes.fromhex(APPLICATION + name)


def _space(name: str, size: int) -> FilePath:
    return FilePath(path=_full(name), index=0, length=size)


def _filled(content: bytes, size: int) -> bytes:
    return content.ljust(size, b"\0")


def _pin_entry(auth_id: bytes, label: str, reference: int, wanted: PinFormat, puk: bytes | None) -> PinEntry:
    return PinEntry(
        auth_id=auth_id, label=label, reference=reference, format=wanted, unblocking=puk is None, puk_auth_id=puk
    )


def _slot(key_id: bytes, label: str, usage: KeyUsage, reference: int) -> PrivateKeyEntry:
    return PrivateKeyEntry(
        key_id=key_id,
        label=label,
        auth_id=key_id,  # each key has the PIN with its own identifier
        user_consent=1 if usage is KeyUsage.SIGN else 0,
        usage=encoding.usage_bits(usage),
        key_reference=reference,
        is_rsa=False,
        path=FilePath(path=bytes.fromhex(APPLICATION)),
        raw=b"",
    )
