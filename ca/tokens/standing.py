"""Everything that decides about a client at one moment: its token, its lights, the status of its certificate."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from ca.status.revocation import CertificateState
from ca.tokens.gate import GateDecision, GatePolicy, decide
from ca.tokens.life_cycle import ConnectionToken, TokenState
from ca.tokens.lights import Light, LightKind


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateStanding:
    """What the register says of the token's certificate."""

    state: CertificateState
    not_before: datetime
    not_after: datetime

    def objection(self, now: datetime) -> str | None:
        """Say why the certificate is not in force, None when it is."""
        if self.state is not CertificateState.GOOD:
            return f"certificate-{self.state}".replace("_", "-")
        if now >= self.not_after:
            return "certificate-expired"
        return None if now >= self.not_before else "certificate-not-yet-valid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A token as it stands. `certificate` is None before activation."""

    token: ConnectionToken
    lights: Mapping[LightKind, Light]
    certificate: CertificateStanding | None

    def objection(self, now: datetime) -> str | None:
        """Say why nobody can be this client at all, None when its holder can; suspension is the gate's matter."""
        if self.token.state is TokenState.TERMINATED:
            return "terminated"
        return "not-active" if self.certificate is None else self.certificate.objection(now)

    def gate(self, policy: GatePolicy, now: datetime) -> GateDecision:
        """Ask the gate, from the lights as they are written down."""
        return decide(self.lights.values(), policy, now)

    def is_usable(self, policy: GatePolicy, now: datetime) -> bool:
        """Whether the token may be used at all now."""
        return self.token.state is TokenState.ACTIVE and self.objection(now) is None and self.gate(policy, now).open
