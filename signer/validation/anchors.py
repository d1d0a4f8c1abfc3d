"""What is trusted, how far, and by whose word: limits of anchors, clusters of issuers, and the bundle they came in."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum, unique
from typing import Final

from pki.certificates import Certificate
from signer.validation.path import PathInputs

HEALTH: Final = "health"
"""The cluster of issuers that certify for health care."""

Clusters = Mapping[str, frozenset[str]]
"""Issuers by cluster: SHA-256, in hexadecimal, of certificates or of public keys (SubjectPublicKeyInfo)."""


@unique
class Purpose(StrEnum):
    """What a key signed, and what an anchor is trusted for."""

    DOCUMENT = "documents"
    TIMESTAMP = "time-stamps"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorLimits:
    """How far an anchor is trusted.

    `policies`: paths must assert one of these certificate policies (RFC 5280 §6.1.1 c); empty: any, or none.
    """

    policies: frozenset[str] = frozenset()
    purposes: frozenset[Purpose] = frozenset(Purpose)

    def inputs(self) -> PathInputs:
        """Return what path validation is to ask."""
        if not self.policies:
            return PathInputs()
        return PathInputs(wanted_policies=self.policies, explicit_policy=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleStamp:
    """The signed trust bundle that a verdict rests on; `sha256` is of its octets."""

    name: str
    sequence: int
    issued: datetime
    next_update: datetime
    sha256: str

    def age(self, at: datetime) -> timedelta:
        """Return how old it is; nothing, where it is younger than the time that is judged."""
        return max(at - self.issued, timedelta())

    def is_outdated(self, at: datetime) -> bool:
        """Whether another one was due by then."""
        return at > self.next_update


def is_named(certificate: Certificate, names: frozenset[str]) -> bool:
    """Whether a certificate is named by its own digest or, however often it was certified, by its key's."""
    return certificate.sha256.hex() in names or certificate.spki_sha256.hex() in names
