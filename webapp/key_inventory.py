"""The keys of the running service: what each is, how much it was used, and whether it proves itself now.

A key holds when it signs now, and the device, the custodian's record and the certificate it serves show the same
public key. A key that cannot be asked is `silent`: that is neither a yes nor a no.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum, unique
from typing import Any, Protocol

from sqlalchemy import Connection

from ca.key_certificates import ServedCertificate, certificates_of_keys
from ca.profiles import IssuerName
from ca.records import NamedCertificate
from hsm.custodian.config import Pkcs11Settings
from hsm.errors import HsmUnavailable, KeyAbsent, KeyMismatch, KeyNotFound, MechanismRefused
from hsm.key_uri import format_key_uri, parse_token, transit_key
from hsm.provider import KeyInfo, spki_of
from hsm.transit.settings import TransitSettings
from pki.certificates import Certificate
from pki.errors import ErrorCode, InvalidInput
from pki.instants import format_instant
from pki.keys import SigningKey
from storage.key_use_events import KeyTotal


class KeyProof(Protocol):
    """What a custodian answers when a key must prove itself."""

    @property
    def public_key(self) -> bytes:
        """The SubjectPublicKeyInfo (DER) that the device shows."""
        ...

    @property
    def seconds(self) -> float:
        """How long the device took."""
        ...


class KeyKeeper(Protocol):
    """Whoever knows the keys and can ask the device about them."""

    def keys(self) -> tuple[KeyInfo, ...]:
        """List the keys, by label."""
        ...

    def signing_key(self, label: str) -> SigningKey:
        """Return the recorded key of this label."""
        ...

    def attributes(self, label: str) -> Mapping[str, str | int | bool]:
        """Return what the device says of a private key; HsmUnavailable."""
        ...

    def prove(self, label: str) -> KeyProof:
        """Have a key sign a probe now; HsmUnavailable."""
        ...


@unique
class KeyState(StrEnum):
    """What a key's proof came to."""

    HOLDS = "holds"
    FAILS = "fails"
    SILENT = "silent"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyCheck:
    """One key's proof: the reason when it is not one, the serial numbers of the certificates it was compared with.

    `absent`: the device answered, and the key was not in it.
    """

    label: str
    state: KeyState
    reason: str = ""
    absent: bool = False
    seconds: float | None = None
    certificates: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Write one line of `mohr hsm check`."""
        return {
            "label": self.label,
            "state": str(self.state),
            **({"reason": self.reason} if self.reason else {}),
            "milliseconds": None if self.seconds is None else round(self.seconds * 1000, 1),
            "certificates": list(self.certificates),
        }


def check_keys(keeper: KeyKeeper, certificates_in_use: Iterable[NamedCertificate]) -> list[KeyCheck]:
    """Have each key prove itself; a key that a certificate needs and nobody has fails. HsmUnavailable, RoleRefused.

    A key that is absent fails where another one holds; a device that shows none of its keys is as good as away.
    """
    served: dict[str, list[Certificate]] = {}
    for used in certificates_in_use:
        if used.name != IssuerName.ROOT:  # its key is kept elsewhere
            served.setdefault(used.key_label, []).append(Certificate.parse(used.der))
    checks = [_check_key(keeper, info.label, served.pop(info.label, [])) for info in keeper.keys()]
    if not any(check.state is KeyState.HOLDS for check in checks):
        checks = [replace(check, state=KeyState.SILENT) if check.absent else check for check in checks]
    missing = (
        KeyCheck(
            label=label,
            state=KeyState.FAILS,
            reason=ErrorCode.HSM_KEY_NOT_FOUND,
            certificates=_serials(certificates),
        )
        for label, certificates in sorted(served.items())
    )
    return [*checks, *missing]


def _check_key(keeper: KeyKeeper, label: str, certificates: Sequence[Certificate]) -> KeyCheck:
    check = KeyCheck(label=label, state=KeyState.FAILS, certificates=_serials(certificates))
    try:
        recorded = spki_of(keeper.signing_key(label).public_key())
        proof = keeper.prove(label)
    except KeyAbsent as error:
        return replace(check, reason=error.detail, absent=True)
    except (KeyMismatch, KeyNotFound, MechanismRefused) as error:
        return replace(check, reason=error.detail or str(error.code))
    except HsmUnavailable as error:
        return replace(check, state=KeyState.SILENT, reason=error.detail)
    if proof.public_key != recorded:
        return replace(check, reason="the device shows another public key than the custodian's record")
    if any(certificate.spki_der != recorded for certificate in certificates):
        return replace(check, reason="the certificate is for another public key")
    return replace(check, state=KeyState.HOLDS, seconds=proof.seconds)


def _serials(certificates: Iterable[Certificate]) -> tuple[str, ...]:
    return tuple(certificate.serial_hex for certificate in certificates)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyEntry:
    """One key as `mohr hsm keys` lists it.

    `attributes` is None when the device did not answer, `uri` when the key was recorded in a device of another kind.
    """

    info: KeyInfo
    uri: str | None
    attributes: Mapping[str, str | int | bool] | None
    age_days: int
    use: KeyTotal | None
    certificate: ServedCertificate | None

    def as_json(self) -> dict[str, Any]:
        """Write one line of `mohr hsm keys`."""
        info, served = self.info, self.certificate
        return {
            "label": info.label,
            "algorithm": str(info.algorithm),
            "purpose": str(info.purpose),
            "uri": self.uri,
            "id": info.id,
            "created": format_instant(info.created),
            "age_days": self.age_days,
            "uses": 0 if self.use is None else self.use.count,
            "last_use": None if self.use is None else format_instant(self.use.last_use),
            "certificate": None
            if served is None
            else {
                "serial": served.serial,
                "subject": served.subject,
                "not_after": format_instant(served.not_after),
            },
            "attributes": None if self.attributes is None else dict(self.attributes),
        }


def uri_of(device: Pkcs11Settings | TransitSettings, info: KeyInfo) -> str | None:
    """Name a key so that it is found again: token, label and CKA_ID (RFC 7512), or a Transit key and its version.

    None for a key that was recorded while the custodian had a token, which a Transit engine knows nothing of.
    """
    if isinstance(device, Pkcs11Settings):
        uri = replace(parse_token(device.token), object=info.label, id=bytes.fromhex(info.id))
        return format_key_uri(uri)
    try:
        return format_key_uri(transit_key(bytes.fromhex(info.id)))
    except InvalidInput:
        return None


def list_keys(
    keeper: KeyKeeper,
    connection: Connection,
    uses: Mapping[str, KeyTotal],
    device: Pkcs11Settings | TransitSettings,
    now: datetime,
) -> list[KeyEntry]:
    """List the keys, by label; HsmUnavailable when the custodian does not answer."""
    infos = keeper.keys()
    public_keys = {info.label: spki_of(keeper.signing_key(info.label).public_key()) for info in infos}
    served = certificates_of_keys(connection, public_keys.values())
    return [
        KeyEntry(
            info=info,
            uri=uri_of(device, info),
            attributes=_attributes(keeper, info.label),
            age_days=(now - info.created) // timedelta(days=1),
            use=uses.get(info.label),
            certificate=served.get(public_keys[info.label]),
        )
        for info in infos
    ]


def _attributes(keeper: KeyKeeper, label: str) -> Mapping[str, str | int | bool] | None:
    try:
        return keeper.attributes(label)
    except HsmUnavailable:
        return None
