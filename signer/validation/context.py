"""What a verification is given: trust, status sources, time, policy and detached content. All explicit."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pki.certificates import Certificate
from pki.errors import ErrorCode, InvalidInput
from signer.validation.anchors import AnchorLimits, BundleStamp, Clusters
from signer.validation.policy import DEFAULT, Policy
from signer.validation.status import IssuerSource, StatusSource


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationContext:
    """The inputs of one verification; `at` is the validation time, aware UTC.

    An anchor may be a root, an intermediate or the signer's own certificate. `limits` holds the anchors that are
    trusted only so far as the `bundle` says; `clusters` are issuers that policies name. `content` is what a detached
    signature covers. `offline` leaves `issuer_sources` unasked and is reported.
    """

    at: datetime
    anchors: tuple[Certificate, ...] = ()
    intermediates: tuple[Certificate, ...] = ()
    status_sources: tuple[StatusSource, ...] = ()
    issuer_sources: tuple[IssuerSource, ...] = ()
    policy: Policy = DEFAULT
    content: bytes | None = None
    offline: bool = True
    limits: Mapping[Certificate, AnchorLimits] = field(default_factory=dict)
    clusters: Clusters = field(default_factory=dict)
    bundle: BundleStamp | None = None

    def __post_init__(self) -> None:
        """Refuse a time without its zone: every later comparison would fail."""
        if self.at.tzinfo is None:
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, "the validation time has no zone")
