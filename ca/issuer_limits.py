"""What the certificates above let an authority issue: key purposes, policies, names (RFC 5280 §6.1).

A path is valid for a purpose, a policy or a name only if every certificate of it allows that; here they are met.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from pki import der, oids
from pki.certificates import Certificate
from pki.names import NameConstraints

_REQUIRE_EXPLICIT: Final = 0x80
_NOW: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerLimits:
    """What all certificates from an authority's own up to its anchor allow; None stands for anything.

    `policies` is empty where a certificate above asserts none: then nobody may rely on one, and that is refused only
    where `explicit_policy` asks for one (RFC 5280 §6.1.5).
    """

    purposes: frozenset[str] | None = None
    policies: frozenset[str] | None = None
    explicit_policy: bool = False
    names: NameConstraints = field(default_factory=NameConstraints)

    @staticmethod
    def of(path: Sequence[Certificate]) -> "IssuerLimits":
        """Meet the certificates of a path: the authority's own first, its anchor last, whose names alone count.

        InvalidInput (`certificate-malformed`) for an extension that cannot be read.
        """
        purposes: frozenset[str] | None = None
        policies: frozenset[str] | None = None
        any_left: int | None = None  # for how many certificates anyPolicy still counts (§4.2.1.14)
        explicit, names = False, NameConstraints()
        for depth, certificate in enumerate(reversed(path)):
            names = names.within(certificate)
            if depth == 0 and len(path) > 1:
                continue
            used = certificate.extended_key_usage
            if used is not None and oids.EKU_ANY not in used:
                purposes = frozenset(used) if purposes is None else purposes & frozenset(used)
            said = frozenset(certificate.policies)
            if oids.ANY_POLICY not in said or any_left == _NOW:
                said -= {oids.ANY_POLICY}
                policies = said if policies is None else policies & said
            explicit = explicit or _requires_policy(certificate)
            any_left = _least(None if any_left is None else max(0, any_left - 1), _inhibits_any(certificate))
        return IssuerLimits(purposes=purposes, policies=policies, explicit_policy=explicit, names=names)

    def missing_purposes(self, wanted: Sequence[str]) -> tuple[str, ...]:
        """Return which extended key usages are not allowed."""
        return () if self.purposes is None else tuple(one for one in wanted if one not in self.purposes)

    def missing_policies(self, wanted: Sequence[str]) -> tuple[str, ...]:
        """Return which policies are not allowed; none where no policy is asserted above and none is asked for."""
        if self.policies is None or (not self.policies and not self.explicit_policy):
            return ()
        return tuple(one for one in wanted if one not in self.policies)


def _least(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else min(one, other)


def _requires_policy(certificate: Certificate) -> bool:
    """Whether policyConstraints ask for a policy, however many certificates further down (§4.2.1.11)."""
    found = certificate.extensions.get(oids.POLICY_CONSTRAINTS)
    return found is not None and any(part.tag == _REQUIRE_EXPLICIT for part in der.parse(found.value).sequence())


def _inhibits_any(certificate: Certificate) -> int | None:
    found = certificate.extensions.get(oids.INHIBIT_ANY_POLICY)
    return None if found is None else der.parse(found.value).integer()
