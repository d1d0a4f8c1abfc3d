"""What the pages and the API need, named as callables, so that no page ever builds a service.

A part that is None is not installed in this deployment; its address answers 503 `unavailable`.
Every callable may raise `pki.errors.ServiceError`; anything else it raises becomes a 500 with an incident id.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import urlsplit

from ca.activation.desk import ActivationDesk
from ca.bulk.desk import BulkDesk
from ca.est.enrolment import EnrolmentDesk
from ca.est.secret_desk import SecretDesk
from ca.evidence.desk import EvidenceDesk
from ca.evidence.revocations import RevocationEvidence
from ca.inventory.desk import InventoryDesk
from ca.inventory.export import ExportDesk
from ca.inventory.statistics import StatisticsDesk
from ca.issuance import TwinJudge
from ca.issuing.key_proofs import NonceDesk
from ca.issuing.line import IssuingLine
from ca.issuing.renewal import RenewalDesk
from ca.linting.desk import LintDesk
from ca.officers.desk import OfficerDesk
from ca.officers.gate import OfficerGate
from ca.registration_desk import RegistrationDesk
from ca.status.acts.holders import HolderDesk
from ca.status.acts.proposals import ProposalDesk
from ca.status.acts.suspension import SuspensionDesk
from ca.status.acts.watch import StatusAlarms
from ca.status.answer_store import StoredAnswer
from ca.status.revocation_desk import RevocationDesk
from ca.tokens.oauth_answers import OAuthResponse
from pki.clock import Clock
from pki.errors import ErrorCode, Unavailable
from pki.gateway import TokenDecision
from pki.identity_file import pilot_identities
from pki.identity_scheme import IdentityScheme
from pki.oids import PILOT_ARC
from signer.isolation.order import ReportKind
from webapp.callers_allowed import LOOPBACK, Network, networks
from webapp.health import HealthReport
from webapp.served_lists import ServedList
from webapp.status_settings import MAX_AGE_SECONDS

PEER_CERTIFICATE: Final = "mohr.peer_certificate"
"""The `environ` key under which the mTLS listener puts the client certificate's DER (never a header)."""


OVER_TLS: Final = "mohr.over_tls"
"""The `environ` key that is True for a connection of the mTLS listener."""

_Part = TypeVar("_Part")
OAuthEndpoint = Callable[[Mapping[str, Sequence[str]], bytes | None], OAuthResponse]
"""Answers a form that came over a connection with that client certificate (DER); it refuses by answering."""


class Verifier(Protocol):
    """Verify any bytes and answer with the JSON object of one `mohr verify --json` line."""

    def __call__(self, data: bytes, *, content: bytes | None, name: str) -> Mapping[str, Any]:
        """Return the verdict on `data`; `content` is what a detached signature covers, `name` the file's name."""
        ...


class Reporter(Protocol):
    """Verify any bytes and answer with a report on them."""

    def __call__(self, data: bytes, *, content: bytes | None, name: str, kind: ReportKind) -> bytes:
        """Return the report of that kind; the others as for a `Verifier`."""
        ...


class AccessCheck(Protocol):
    """Check a bound access token for the protected endpoint, as a gateway does."""

    def __call__(self, token: str, peer_certificate: bytes | None, /) -> TokenDecision:
        """Return the decision on `token` presented over a connection with that client certificate (DER)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything that the web application is given by its composition root."""

    public_url: str
    clock: Clock
    health: Callable[[], HealthReport]
    organization: str = ""
    oid_arc: str = PILOT_ARC
    own_root: bool = True
    identities: IdentityScheme = field(default_factory=pilot_identities, repr=False)
    origins: frozenset[str] = frozenset()
    font_file: Path | None = None
    verify: Verifier | None = None
    report: Reporter | None = None
    ocsp: Callable[[bytes], bytes] | None = None
    stored_ocsp: Callable[[bytes, datetime], StoredAnswer | None] | None = None
    crl: Callable[[str, int, bool], ServedList | None] | None = None  # issuer, shard, whether its delta
    ca_certificate: Callable[[str], bytes | None] | None = None
    tsa: Callable[[bytes], bytes] | None = None
    checkpoint: Callable[[], bytes | None] | None = None
    token: OAuthEndpoint | None = None
    introspection: OAuthEndpoint | None = None
    revocation: OAuthEndpoint | None = None
    jwks: Callable[[], bytes] | None = None
    oauth_metadata: Callable[[], Mapping[str, Any]] | None = None
    access: AccessCheck | None = None
    gate: OfficerGate | None = None
    registrations: RegistrationDesk | None = None
    officers: OfficerDesk | None = None
    est: EnrolmentDesk | None = None
    secrets: SecretDesk | None = None
    evidence: EvidenceDesk | None = None
    revocation_evidence: RevocationEvidence | None = None
    bulk: BulkDesk | None = None
    linting: LintDesk | None = None
    revocations: RevocationDesk | None = None
    publish_status: Callable[[str], int | None] | None = None
    inventory: InventoryDesk | None = None
    exports: ExportDesk | None = None
    statistics: StatisticsDesk | None = None
    renewals: RenewalDesk | None = None
    issuing: IssuingLine | None = None
    activation: ActivationDesk | None = None
    suspension: SuspensionDesk | None = None
    holders: HolderDesk | None = None
    proposals: ProposalDesk | None = None
    status_alarms: StatusAlarms | None = None
    nonces: NonceDesk | None = None
    metrics: Callable[[], bytes] | None = None
    metrics_allow: tuple[Network, ...] = networks(LOOPBACK)
    counted: Callable[[str, int], None] | None = None
    max_age: int = MAX_AGE_SECONDS
    lint_first: TwinJudge | None = None

    @property
    def page_origins(self) -> frozenset[str]:
        """Origins whose forms are accepted: the public URL's and those a deployer adds."""
        parts = urlsplit(self.public_url)
        return self.origins | {f"{parts.scheme}://{parts.netloc}"}


def installed(part: _Part | None) -> _Part:
    """Return a part of the services; Unavailable where this deployment has none."""
    if part is None:
        raise Unavailable(ErrorCode.UNAVAILABLE, "not installed in this deployment")
    return part
