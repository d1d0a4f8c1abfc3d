"""The certificates of the deployment's own services: until when each may be used, and for which key the next one is.

A service keeps its key while certificates come and go, unless its profile bounds the use of the private key
(RFC 3280 §4.2.1.4): such a key, the time-stamping unit's, gets a successor, which an operator has made beforehand.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ca.hierarchy import SERVICES, NamedService
from ca.profiles import CertificateProfile, ProfileName, ProfileSet
from ca.records import NamedCertificate
from ca.status.revocation import RevocationReason, Status
from pki.certificates import Certificate
from pki.key_period import key_period

LISTENER: Final = "exchange"
"""The mutual-TLS listener's name in the register; its key is in a file that only the server reads."""

_NUMBER: Final = re.compile(r"-([1-9][0-9]{0,5})")


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCertificate:
    """A certificate that a service uses now. `usable_until`: the end of it, or of its key's own period."""

    name: str
    key_label: str
    certificate: Certificate
    profile: CertificateProfile
    status: Status

    @property
    def usable_until(self) -> datetime:
        """When it, or the time to use its key, ends; since when it is revoked or on hold, if it is."""
        ends = key_period(self.certificate)[1]
        return ends if self.status.revoked_at is None else min(ends, self.status.revoked_at)

    @property
    def renews_from(self) -> datetime:
        """From when on it is renewed."""
        return self.usable_until if self.status.listed else self.usable_until - self.profile.renewal_window

    @property
    def needs_new_key(self) -> bool:
        """Whether its successor is for another key."""
        return self.profile.private_key_usage is not None or self.status.reason is RevocationReason.KEY_COMPROMISE

    def next_label(self) -> str:
        """Name the key that comes after its own: after `tsa` comes `tsa-2`."""
        return f"{self.name}-{key_number(self.name, self.key_label) + 1}"


def key_number(name: str, label: str) -> int:
    """Count the keys of a service by their labels: its name is the first."""
    found = _NUMBER.fullmatch(label.removeprefix(name))
    return 1 if found is None else int(found[1])


def own_certificates(named: Mapping[str, NamedCertificate], profiles: ProfileSet) -> tuple[OwnCertificate, ...]:
    """Return what the services use now, the listener last."""
    of = {service.name: service.profile for service in SERVICES} | {LISTENER: ProfileName.TLS_SERVER}
    return tuple(
        OwnCertificate(
            name=name,
            key_label=named[name].key_label,
            certificate=Certificate.parse(named[name].der),
            profile=profiles.get(profile),
            status=named[name].status,
        )
        for name, profile in of.items()
        if name in named
    )


def spare_key(own: OwnCertificate, labels: Iterable[str]) -> str | None:
    """Return the label of a key made beforehand for the next certificate, if there is one."""
    return own.next_label() if own.next_label() in set(labels) else None


def service_of(name: str) -> NamedService | None:
    """Return the service that goes by a name; None for the listener, whose certificate is a system's."""
    return next((service for service in SERVICES if service.name == name), None)


def common_name_of(service: NamedService, label: str) -> str:
    """Name a service in its certificate: each time-stamping unit, which is its key, has its own number."""
    number = key_number(service.name, label)
    return service.common_name if number == 1 else f"{service.common_name.rstrip('0123456789 ')} {number}"
