"""Any card that describes itself by ISO/IEC 7816-15 (PKCS #15): nothing here knows one card from another.

EF.DIR names the application, its ODF the directories, they name PINs, keys and certificates; TokenInfo says
with which references the card's algorithms are asked for. A card that does not say is asked without a
reference, which the standard calls the implicit algorithm.
"""

from typing import Final

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from cardreader import tlv
from cardreader.apdu import SHORT_NE, CommandApdu, Instruction, ResponseApdu, StatusWord
from cardreader.cards import directory
from cardreader.cards.base import SmartCard
from cardreader.cards.directory import FilePath, PrivateKeyEntry, ValueEntry
from cardreader.cards.files import MF, CardFiles
from cardreader.cards.objects import CardKey, CardPin, CardProfile, KeySlot, KeyUsage
from cardreader.cards.personalisation import Personalisation
from cardreader.cards.public_keys import card_algorithm, from_file, from_template, usable
from cardreader.channel import CardChannel
from cardreader.errors import CardKeyNotFound, CardProtocolError, CardRefused, CardUnsupported, PinRequired
from pki import der
from pki.certificates import Certificate
from pki.errors import InvalidInput
from pki.keys import PublicKey, SignatureAlgorithm

EF_DIR: Final = MF + b"\x2f\x00"
_AID_PREFIXES: Final = (bytes.fromhex("A000000063504B43532D3135"), bytes.fromhex("E828BD080F"))  # §7.3
_DEFAULT_HOME: Final = MF + b"\x50\x15"
_ODF, _CIA_INFO = b"\x50\x31", b"\x50\x32"
_PRKDF, _PUKDF, _CDF, _AODF = 0, 1, 4, 8  # tags of the ODF (§8.2.3)
_MAX_OBJECTS: Final = 64
_SIGNING_USAGES: Final = frozenset((directory.USAGE_SIGN, directory.USAGE_NON_REPUDIATION))

# (PKCS #11 mechanism, operation bit of AlgorithmInfo) by algorithm (§8.10)
_SIGNING: Final = {
    SignatureAlgorithm.RS256: (0x0001, 1),
    SignatureAlgorithm.ES256: (0x1041, 1),
    SignatureAlgorithm.ES384: (0x1041, 1),
}
_GENERATING: Final = {SignatureAlgorithm.RS256: (0x0000, 7), SignatureAlgorithm.ES256: (0x1040, 7)}

_DIGEST_INFO_SHA256: Final = bytes.fromhex("3031300d060960864801650304020105000420")  # RFC 8017 §9.2 note 1


class Iso7816Card(SmartCard):
    """A card with a cryptographic information application."""

    def __init__(self, channel: CardChannel, profile: CardProfile) -> None:
        super().__init__(channel, profile)
        self._files = CardFiles(self._channel)
        self._aid = b""
        self._odf: dict[int, tuple[FilePath, ...]] = {}
        self._algorithms: tuple[directory.AlgorithmInfo, ...] = ()
        self._card_pins: tuple[CardPin, ...] = ()
        self._pin_by_id: dict[bytes, int] = {}
        self._private_keys: tuple[PrivateKeyEntry, ...] = ()
        self._public_keys: dict[bytes, ValueEntry] = {}
        self._certificates: dict[bytes, ValueEntry] = {}

    # --- discovery --------------------------------------------------------------------------------

    def _select_impl(self) -> None:
        if not self._aid:
            self._find_application()
        elif not self._files.select_application(self._aid):
            raise CardUnsupported("the card's application does not answer any more")

    def _find_application(self) -> None:
        """Take the application that EF.DIR names, or the standard's own name and path where that file is missing."""
        home, aid = _DEFAULT_HOME, _AID_PREFIXES[0]
        try:
            applications = directory.parse_ef_dir(self._files.read_objects(EF_DIR))
        except CardUnsupported:
            applications = ()
        for application in applications:
            if application.aid.startswith(_AID_PREFIXES):
                home, aid = application.path or home, application.aid
                break
        if not self._files.select_application(aid):
            raise CardUnsupported("the card has no ISO/IEC 7816-15 application")
        self._files.home, self._aid = home, aid

    def _identify_impl(self) -> tuple[str, str]:
        info = directory.parse_token_info(self._files.read_objects(_CIA_INFO))
        self._algorithms = info.algorithms
        return info.label, info.serial.hex()

    def _load_impl(self) -> None:
        self._odf = directory.parse_odf(self._files.read_objects(_ODF))
        entries = directory.parse_aodf(self._content(_AODF))
        references = {entry.auth_id: entry.reference for entry in entries}
        if len(references) != len(entries) or len(set(references.values())) != len(entries):
            raise CardProtocolError("two PINs with one identifier or reference")
        self._pin_by_id = references
        self._card_pins = tuple(
            CardPin(
                reference=entry.reference,
                label=entry.label,
                format=entry.format,
                puk_reference=references.get(entry.puk_auth_id) if entry.puk_auth_id is not None else None,
                is_puk=entry.unblocking,
            )
            for entry in entries
        )
        self._load_keys()

    def _load_keys(self) -> None:
        entries = directory.parse_prkdf(self._content(_PRKDF))
        self._private_keys = tuple(entry for entry in entries if entry.usage & _SIGNING_USAGES)
        if len(entries) > _MAX_OBJECTS:
            raise CardProtocolError("more keys than a card can hold")
        self._public_keys = _by_key(directory.parse_pukdf(self._content(_PUKDF)))
        self._certificates = _by_key(directory.parse_cdf(self._content(_CDF)))

    def _content(self, kind: int) -> bytes:
        """Return the entries of all directory files of one kind, without padding."""
        parts: list[bytes] = []
        for where in self._odf.get(kind, ()):
            content = self._files.read_objects(where.path) if where.length is None else self._files.read(where)
            parts.extend(entry.raw for entry in tlv.parse_tlvs(content, padded=True))
        return b"".join(parts)

    def _pins_impl(self) -> tuple[CardPin, ...]:
        return self._card_pins

    def _slots_impl(self) -> tuple[KeySlot, ...]:
        return tuple(
            KeySlot(
                key_id=entry.key_id,
                label=entry.label,
                usage=_usage(entry),
                key_reference=entry.key_reference,
                pin_reference=self._pin_reference(entry),
                filled=entry.key_id in self._public_keys or entry.key_id in self._certificates,
            )
            for entry in self._private_keys
        )

    def _pin_reference(self, entry: PrivateKeyEntry) -> int | None:
        if entry.auth_id is None:
            return None
        if entry.auth_id not in self._pin_by_id:
            raise CardProtocolError("a key is guarded by a PIN that the card does not describe")
        return self._pin_by_id[entry.auth_id]

    def _keys_impl(self) -> tuple[CardKey, ...]:
        found = []
        for entry in self._private_keys:
            certificate = self._read_certificate(self._certificates.get(entry.key_id))
            key = self._read_public_key(certificate, self._public_keys.get(entry.key_id))
            if key is not None:
                found.append(self._card_key(entry, key, certificate))
        return tuple(found)

    def _card_key(self, entry: PrivateKeyEntry, key: PublicKey, certificate: Certificate | None) -> CardKey:
        return CardKey(
            key_id=entry.key_id,
            label=entry.label,
            usage=_usage(entry),
            algorithm=card_algorithm(key),
            key_reference=entry.key_reference,
            pin_reference=self._pin_reference(entry),
            asks_always=entry.user_consent > 0,
            public_key=key,
            certificate=None if certificate is None else certificate.der,
        )

    def _read_certificate(self, entry: ValueEntry | None) -> Certificate | None:
        if entry is None or entry.path is None:
            return None
        content = self._files.read(entry.path) if entry.path.length else self._files.read_objects(entry.path.path)
        objects = tlv.parse_tlvs(content, padded=True)
        if not objects:
            raise CardProtocolError("a certificate file is empty")
        try:
            return Certificate.parse(objects[0].raw)
        except InvalidInput as error:
            raise CardProtocolError("a certificate on the card cannot be read") from error

    def _read_public_key(self, certificate: Certificate | None, entry: ValueEntry | None) -> PublicKey | None:
        if certificate is not None:
            return usable(certificate.public_key)
        if entry is None or entry.path is None:
            return None
        return from_file(self._files.read(entry.path))

    # --- private-key operations -------------------------------------------------------------------

    def _reference(self, wanted: tuple[int, int]) -> int | None:
        """Return the card's reference for (mechanism, operation); None when the card does not say."""
        mechanism, operation = wanted
        for info in self._algorithms:
            if info.mechanism == mechanism and operation in info.operations:
                return info.reference
        return None

    def _set_environment(self, algorithm: int | None, key_reference: int) -> None:
        data = b"" if algorithm is None else tlv.encode(0x80, bytes((algorithm,)))
        data += tlv.encode(0x84, bytes((key_reference,)))
        command = CommandApdu(ins=Instruction.MANAGE_SECURITY_ENVIRONMENT, p1=0x41, p2=0xB6, data=data)
        _require(self._channel.transmit(command), "MSE SET")

    def _sign_impl(self, key: CardKey, digest: bytes) -> bytes:
        self._set_environment(self._reference(_SIGNING[key.algorithm]), key.key_reference)
        is_rsa = key.algorithm is SignatureAlgorithm.RS256
        response = self._channel.transmit(
            CommandApdu(
                ins=Instruction.PERFORM_SECURITY_OPERATION,
                p1=0x9E,
                p2=0x9A,
                data=_DIGEST_INFO_SHA256 + digest if is_rsa else digest,
                ne=SHORT_NE,
            )
        )
        _require(response, "PSO: COMPUTE DIGITAL SIGNATURE")
        return response.data if is_rsa else ecdsa_signature(response.data, 2 * len(digest))

    def _generate_impl(self, slot: KeySlot, algorithm: SignatureAlgorithm) -> PublicKey:
        reference = self._reference(_GENERATING[algorithm]) if algorithm in _GENERATING else None
        if reference is None:
            raise CardUnsupported(f"the card does not say that it makes keys for {algorithm}")
        entry = next(each for each in self._private_keys if each.key_id == slot.key_id)
        personalisation = self._personalisation()
        personalisation.forget(entry.key_id)
        self._set_environment(reference, slot.key_reference)
        response = self._channel.transmit(CommandApdu(ins=Instruction.GENERATE_KEY_PAIR, p1=0x80, ne=SHORT_NE))
        _require(response, "GENERATE ASYMMETRIC KEY PAIR")
        key = from_template(response.data)
        if card_algorithm(key) is not algorithm:
            raise CardProtocolError("the card made a key of another type")
        personalisation.register_key(entry, key)
        self._load_keys()
        return key

    def _write_certificate_impl(self, key: CardKey, certificate_der: bytes) -> None:
        self._personalisation().register_certificate(key.key_id, key.label, certificate_der)
        self._load_keys()

    def _personalisation(self) -> Personalisation:
        try:
            prkdf, pukdf, cdf = (self._odf[kind][0].path for kind in (_PRKDF, _PUKDF, _CDF))
        except KeyError as error:
            raise CardUnsupported("the card lacks a directory for keys or certificates") from error
        return Personalisation(self._files, prkdf=prkdf, pukdf=pukdf, cdf=cdf)


def _by_key(entries: tuple[ValueEntry, ...]) -> dict[bytes, ValueEntry]:
    """Sort by key identifier; the first of several with one identifier is taken."""
    return {entry.key_id: entry for entry in reversed(entries)}


def _usage(entry: PrivateKeyEntry) -> KeyUsage:
    return KeyUsage.SIGN if directory.USAGE_NON_REPUDIATION in entry.usage else KeyUsage.AUTH


def _require(response: ResponseApdu, command: str) -> None:
    match response.sw:
        case StatusWord.OK:
            return
        case StatusWord.SECURITY_STATUS:
            raise PinRequired(f"{command} wants the PIN")
        case StatusWord.REFERENCE_NOT_FOUND:
            raise CardKeyNotFound(f"{command} does not know the key")
        case StatusWord.FUNCTION_UNSUPPORTED:
            raise CardUnsupported(f"{command} does not know the algorithm")
    raise CardRefused(command, response.sw)


def ecdsa_signature(value: bytes, raw_size: int) -> bytes:
    """Return the DER ECDSA-Sig-Value of a card's answer, which is DER on some cards and `r || s` on others.

    CardProtocolError when it is neither. `raw_size` is twice the coordinate's octets.
    """
    if _is_signature_value(value):
        return value
    if len(value) != raw_size:
        raise CardProtocolError("the card's answer is not an ECDSA signature")
    half = raw_size // 2
    return encode_dss_signature(int.from_bytes(value[:half], "big"), int.from_bytes(value[half:], "big"))


def _is_signature_value(value: bytes) -> bool:
    """Whether `value` is a SEQUENCE of two positive INTEGERs (RFC 3279 §2.2.3)."""
    try:
        numbers = der.parse(value).sequence()
        return len(numbers) == 2 and all(number.integer() > 0 for number in numbers)
    except InvalidInput:
        return False
