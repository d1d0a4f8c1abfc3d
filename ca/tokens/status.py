"""A connection token as people and programs are shown it: its state, its lights, what it may do now."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ca.tokens.gate import GateDecision
from ca.tokens.life_cycle import ConnectionToken
from ca.tokens.lights import Answer, Light, LightKind
from pki.instants import format_instant


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else format_instant(instant)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenStatus:
    """A token, its lights, and what the gate allows at `gate.decided_at`."""

    token: ConnectionToken
    lights: Mapping[LightKind, Light]
    gate: GateDecision

    @property
    def is_silent(self) -> bool:
        """Whether some light has no present answer."""
        return any(light.state is Answer.SILENT for light in self.lights.values())

    def document(self) -> dict[str, Any]:
        """Return the status as JSON members, for the portal and the command line."""
        token, hold, certificate = self.token, self.token.hold, self.token.certificate
        return {
            "id": token.id,
            "kind": str(token.kind),
            "siam_id": token.siam_id,
            "system_id": token.system_id,
            "medium": str(token.medium),
            "state": str(token.state),
            "hold": None if hold is None else {"by": hold.by, "at": format_instant(hold.at), "reason": hold.reason},
            "certificate": certificate.serial if certificate else None,
            "not_after": _text(certificate.not_after if certificate else None),
            "open": self.gate.open,
            "assurance": str(self.gate.assurance),
            "scopes": list(self.gate.scopes) if self.gate.open else [],
            "lights": [_light(self.lights[kind]) for kind in LightKind if kind in self.lights],
        }


def _light(light: Light) -> dict[str, str | None]:
    return {
        "kind": str(light.kind),
        "state": str(light.state),
        "since": format_instant(light.since),
        "last_answer": None if light.last_answer is None else str(light.last_answer),
        "last_answer_at": _text(light.last_answer_at),
        "source": light.source,
        "reference": light.reference,
        "valid_until": _text(light.valid_until),
    }
