"""Certificate policies along a path (RFC 5280 §6.1, as the graph of RFC 9618, which cannot explode)."""

from dataclasses import dataclass, field
from typing import Final

from pki import der
from pki.certificates import Certificate

ANY_POLICY: Final = "2.5.29.32.0"
_MAPPINGS: Final = "2.5.29.33"
_CONSTRAINTS: Final = "2.5.29.36"
_INHIBIT_ANY: Final = "2.5.29.54"


@dataclass(slots=True)
class _Node:
    expected: set[str]
    parents: set[str]


@dataclass(slots=True)
class PolicyGraph:
    """The policy state of one path: feed certificates from the anchor's side, then ask `acceptable`.

    `explicit`, `mapping` and `inhibit_any` are RFC 5280's counters; `levels` one set of nodes per certificate.
    """

    length: int
    wanted: frozenset[str] = frozenset((ANY_POLICY,))
    initial_explicit: bool = False
    initial_mapping_inhibit: bool = False
    initial_any_inhibit: bool = False
    explicit: int = 0
    mapping: int = 0
    inhibit_any: int = 0
    levels: list[dict[str, _Node]] = field(default_factory=list)

    def __post_init__(self) -> None:
        counter = self.length + 1
        self.explicit = 0 if self.initial_explicit else counter
        self.mapping = 0 if self.initial_mapping_inhibit else counter
        self.inhibit_any = 0 if self.initial_any_inhibit else counter
        self.levels = [{ANY_POLICY: _Node({ANY_POLICY}, set())}]

    def add(self, certificate: Certificate, *, final: bool) -> bool:
        """Process one certificate (§6.1.3 d-f, §6.1.4 a-b, h-j); False when a rule is broken."""
        self._grow(certificate, final=final)
        if self.explicit == 0 and not self.levels[-1]:
            return False
        if final:
            return True
        if not self._map(certificate):
            return False
        if not certificate.self_issued:
            self.explicit, self.mapping = max(0, self.explicit - 1), max(0, self.mapping - 1)
            self.inhibit_any = max(0, self.inhibit_any - 1)
        self._constrain(certificate)
        return True

    def _grow(self, certificate: Certificate, *, final: bool) -> None:
        above, policies = self.levels[-1], set(certificate.policies)
        level: dict[str, _Node] = {}
        for policy in policies - {ANY_POLICY}:
            parents = {name for name, node in above.items() if policy in node.expected}
            if not parents and ANY_POLICY in above:
                parents = {ANY_POLICY}
            if parents:
                level[policy] = _Node({policy}, parents)
        any_allowed = self.inhibit_any > 0 or (not final and certificate.self_issued)
        if ANY_POLICY in policies and any_allowed:
            for name, node in above.items():
                for policy in node.expected - level.keys():
                    level[policy] = _Node({policy}, {name})
        self.levels.append(level)

    def _map(self, certificate: Certificate) -> bool:
        extension = certificate.extensions.get(_MAPPINGS)
        if extension is None:
            return True
        pairs: dict[str, set[str]] = {}
        for entry in der.parse(extension.value).sequence():
            issuer, subject = (node.oid() for node in entry.sequence())
            if ANY_POLICY in (issuer, subject):
                return False
            pairs.setdefault(issuer, set()).add(subject)
        level = self.levels[-1]
        for policy, targets in pairs.items():
            if self.mapping == 0:
                level.pop(policy, None)
            elif policy in level:
                level[policy].expected = targets
            elif ANY_POLICY in level:
                level[policy] = _Node(targets, set(level[ANY_POLICY].parents) or {ANY_POLICY})
        return True

    def _constrain(self, certificate: Certificate) -> None:
        extension = certificate.extensions.get(_CONSTRAINTS)
        for part in () if extension is None else der.parse(extension.value).sequence():
            skip = int.from_bytes(part.content, "big")
            if part.tag == 0x80:
                self.explicit = min(self.explicit, skip)
            elif part.tag == 0x81:
                self.mapping = min(self.mapping, skip)
        inhibit = certificate.extensions.get(_INHIBIT_ANY)
        if inhibit is not None:
            self.inhibit_any = min(self.inhibit_any, der.parse(inhibit.value).integer())

    def acceptable(self, leaf: Certificate) -> bool:
        """Wrap up (§6.1.5): False when an explicit policy is needed and none that is wanted survives."""
        explicit = self.explicit
        if explicit > 0:
            explicit -= 1
        extension = leaf.extensions.get(_CONSTRAINTS)
        for part in () if extension is None else der.parse(extension.value).sequence():
            if part.tag == 0x80 and int.from_bytes(part.content, "big") == 0:
                explicit = 0
        return explicit > 0 or bool(self._authority_domain_policies())

    def _authority_domain_policies(self) -> set[str]:
        """Return the surviving policies in the anchor's terms that were asked for (RFC 9618 §5.4)."""
        valid: set[str] = set()
        last = self.levels[-1]
        alive = set(last)
        for level in reversed(self.levels[1:]):
            for name in alive & level.keys():
                # anyPolicy stands for every policy at the leaf alone; higher up it only passes others on.
                if ANY_POLICY in level[name].parents and (name != ANY_POLICY or level is last):
                    valid.add(name)
            alive = {parent for name in alive & level.keys() for parent in level[name].parents}
        return valid if ANY_POLICY in self.wanted else valid & (self.wanted | {ANY_POLICY})
