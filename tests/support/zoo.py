"""Signers, authorities and status for verdict tests: a clinician under an intermediate under a root, all at `NOW`.

What differs from one case to the next is a parameter; everything else is as a good deployment has it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509

from pki.identity_file import pilot_identities
from signer.timestamps.authority import TimestampAuthority
from signer.timestamps.client import LocalTimeStamper
from signer.validation.anchors import HEALTH
from signer.validation.context import VerificationContext
from signer.validation.status import EmbeddedStatus
from tests.support.clock import FakeClock
from tests.support.pki import ARC, NOW, Holder, Issuer, make_root

SIGNED_AT = NOW - timedelta(days=2)
CLINICIAN_POLICIES = (ARC.certificate_policy, ARC.profile_type(1, 1))


def admission(profession: str = "physician", number: str = "123456") -> x509.Admissions:
    """Build an Admission extension (Common PKI part 9)."""
    role = pilot_identities().profession(profession)
    info = x509.ProfessionInfo(None, [role.title_fa], [x509.ObjectIdentifier(role.oid_under(ARC))], number, None)
    return x509.Admissions(None, [x509.Admission(None, None, [info])])


@dataclass(frozen=True, kw_only=True)
class Zoo:
    """One small world of certificates."""

    root: Issuer
    intermediate: Issuer
    clinician: Holder
    tsa: Holder

    def stamper(self, at: datetime, tsa: Holder | None = None) -> LocalTimeStamper:
        """Return a time-stamper whose clock stands at `at`."""
        by = tsa or self.tsa
        authority = TimestampAuthority(by.key, by.chain, ARC.timestamp_policy, timedelta(seconds=1), FakeClock(at))
        return LocalTimeStamper(authority)

    def status(
        self, *crls: bytes, responses: tuple[bytes, ...] = (), this_update: datetime = NOW - timedelta(hours=1)
    ) -> EmbeddedStatus:
        """Return the root's CRL and the given ones, by default the intermediate's empty one."""
        lists = crls or (self.intermediate.crl(this_update=this_update),)
        return EmbeddedStatus(crls=(self.root.crl(), *lists), ocsp_responses=responses)

    def context(self, **changes: Any) -> VerificationContext:
        """Return a context that trusts the root, knows health's issuer and fresh status, and validates at `NOW`."""
        members: dict[str, Any] = {
            "at": NOW,
            "anchors": (self.root.certificate,),
            "intermediates": (self.intermediate.certificate,),
            "status_sources": (self.status(),),
            "clusters": {HEALTH: frozenset((self.intermediate.certificate.spki_sha256.hex(),))},
        }
        return VerificationContext(**(members | changes))


def make_clinician(issuer: Issuer, **changes: Any) -> Holder:
    """Issue a clinician's signing certificate of the card profile."""
    members: dict[str, Any] = {"policies": CLINICIAN_POLICIES, "extra": ((admission(), False),)}
    return issuer.issue(**(members | changes))


def make_zoo() -> Zoo:
    """Make a whole world."""
    root = make_root()
    intermediate = root.issue_ca()
    return Zoo(
        root=root, intermediate=intermediate, clinician=make_clinician(intermediate), tsa=intermediate.issue_tsa()
    )
