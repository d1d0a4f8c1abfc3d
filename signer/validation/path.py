"""Certification paths: building them over loose certificates, and the rules of RFC 5280 §6.1.

Own code, because the verifier's figure is one fresh leaf for each file: `pyhanko-certvalidator` takes
1.1 ms for a path of three, this 0.15 ms, and an anchor may be the signer's own certificate here. Signatures
between certificates are checked once for each pair and remembered by their octets: by evidence, never by name.

Revocation is `status.py`'s, validity in time `times.py`'s: a path that broke no rule may still be expired.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Final

from pki import oids
from pki.certificates import Certificate
from pki.errors import ServiceError, VerificationFailed
from pki.names import NameConstraints, NameKey, name_key
from signer.parsers.model import UNREADABLE
from signer.validation.policy_graph import ANY_POLICY, PolicyGraph

_REMEMBERED_OCTETS: Final = 16 * 1024
MAX_DEPTH: Final = 10
MAX_PATHS: Final = 64
MAX_POOL: Final = 1024
MAX_CHECKS_A_POOL: Final = 1000

_POLICY_MAPPINGS: Final = "2.5.29.33"
_POLICY_CONSTRAINTS: Final = "2.5.29.36"
_INHIBIT_ANY: Final = "2.5.29.54"
_FRESHEST_CRL: Final = "2.5.29.46"
_UNDERSTOOD: Final = frozenset(
    (
        oids.KEY_USAGE,
        oids.BASIC_CONSTRAINTS,
        oids.SUBJECT_ALT_NAME,
        oids.NAME_CONSTRAINTS,
        oids.CERTIFICATE_POLICIES,
        oids.EXTENDED_KEY_USAGE,
        oids.CRL_DISTRIBUTION_POINTS,
        oids.SUBJECT_KEY_IDENTIFIER,
        oids.AUTHORITY_KEY_IDENTIFIER,
        oids.QC_STATEMENTS,
        oids.ADMISSION,
        oids.PRIVATE_KEY_USAGE_PERIOD,
        _POLICY_MAPPINGS,
        _POLICY_CONSTRAINTS,
        _INHIBIT_ANY,
        _FRESHEST_CRL,
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PathInputs:
    """What RFC 5280 §6.1.1 lets the user set."""

    wanted_policies: frozenset[str] = frozenset((ANY_POLICY,))
    explicit_policy: bool = False
    inhibit_mapping: bool = False
    inhibit_any_policy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A chain from the leaf to an anchor, anchor last; `problem` names the first rule it breaks.

    A leaf that is an anchor itself is a path of one.
    """

    chain: tuple[Certificate, ...]
    problem: str | None = None

    @property
    def anchor(self) -> Certificate:
        """The trusted end."""
        return self.chain[-1]

    @property
    def directly_trusted(self) -> bool:
        """Whether the leaf itself is the anchor."""
        return len(self.chain) == 1


def is_signed_by(certificate: Certificate, issuer: Certificate) -> bool:
    """Say whether `issuer`'s key made `certificate`'s signature; remembered for the pair, unless it is large."""
    small = len(certificate.der) + len(issuer.der) <= _REMEMBERED_OCTETS
    return _is_known_signed(certificate, issuer) if small else _is_signed(certificate, issuer)


@lru_cache(maxsize=2048)
def _is_known_signed(certificate: Certificate, issuer: Certificate) -> bool:
    return _is_signed(certificate, issuer)


def _is_signed(certificate: Certificate, issuer: Certificate) -> bool:
    try:
        certificate.verify_signed_by(issuer)
    except UNREADABLE:
        return False
    return True


def uncheckable(certificate: Certificate, issuer: Certificate) -> str | None:
    """Say why nobody here can tell whether `issuer`'s key made the signature; None when it can be told."""
    try:
        certificate.verify_signed_by(issuer)
    except VerificationFailed:
        return None
    except ServiceError as error:
        return error.detail
    except (IndexError, ValueError) as error:
        return type(error).__name__
    return None


class CertificatePool:
    """Loose certificates, found by subject; with the work that all searches among them may cost together."""

    def __init__(self, certificates: Iterable[Certificate]) -> None:
        self.certificates = tuple(islice(dict.fromkeys(certificates), MAX_POOL))
        self._checks_left = MAX_CHECKS_A_POOL
        self._checked: dict[tuple[Certificate, Certificate], bool] = {}
        self._by_subject: dict[NameKey | bytes, list[Certificate]] = {}
        self._by_key: dict[tuple[NameKey | bytes, bytes | None], list[Certificate]] = {}
        for certificate in self.certificates:
            name = _quiet_name_key(certificate.subject_der)
            self._by_subject.setdefault(name, []).append(certificate)
            key = (name, _quiet_key_identifier(certificate, authority=False))
            self._by_key.setdefault(key, []).append(certificate)

    def named(self, name_der: bytes) -> tuple[Certificate, ...]:
        """Return the certificates of a subject."""
        return tuple(self._by_subject.get(_quiet_name_key(name_der), ()))

    def issuers(self, certificate: Certificate) -> Iterator[Certificate]:
        """Yield the certificates whose key signed `certificate`; those whose key identifier fits come first."""
        name = _quiet_name_key(certificate.issuer_der)
        wanted = _quiet_key_identifier(certificate, authority=True)
        fitting = () if wanted is None else self._by_key.get((name, wanted), ())
        for candidate in dict.fromkeys((*fitting, *self._by_subject.get(name, ()))):
            if self.is_signed_by(certificate, candidate):
                yield candidate

    def is_signed_by(self, certificate: Certificate, issuer: Certificate) -> bool:
        """Say whether `issuer`'s key made `certificate`'s signature; no, once too many signatures were checked."""
        pair = (certificate, issuer)
        known = self._checked.get(pair)
        if known is None:
            known = self._checked[pair] = self.may_check() and is_signed_by(certificate, issuer)
        return known

    def may_check(self) -> bool:
        """Count one more signature that is checked to find out whose it is; whether there were not too many."""
        self._checks_left -= 1
        return self._checks_left >= 0


_ANY: Final = PathInputs()
_ALIKE: Final[Mapping[Certificate, PathInputs]] = {}


def find_paths(
    leaf: Certificate,
    pool: CertificatePool,
    anchors: frozenset[Certificate],
    inputs: PathInputs = _ANY,
    inputs_of: Mapping[Certificate, PathInputs] = _ALIKE,
) -> Iterator[Path]:
    """Yield every path from `leaf` to one of `anchors` over `pool`, which holds the anchors too.

    The shortest come first; several issuers of one name and key are all tried. Paths that break a rule are
    yielded with their `problem`, after those that break none. `inputs_of` holds anchors with inputs of their own.
    """
    if leaf in anchors:
        yield Path(chain=(leaf,), problem=_critical_problem(leaf))
        return
    broken = []
    for chain in islice(_chains(leaf, pool, anchors), MAX_PATHS):
        path = Path(chain=chain, problem=_first_problem(chain, inputs_of.get(chain[-1], inputs)))
        if path.problem is None:
            yield path
        else:
            broken.append(path)
    yield from broken


def _chains(
    leaf: Certificate, pool: CertificatePool, anchors: frozenset[Certificate]
) -> Iterator[tuple[Certificate, ...]]:
    level: list[tuple[Certificate, ...]] = [(leaf,)]
    while level:
        following = []
        for chain in level:
            for issuer in pool.issuers(chain[-1]):
                if issuer in chain:
                    continue
                if issuer in anchors:
                    yield (*chain, issuer)
                # A higher anchor may be trusted further than this one.
                if len(chain) < MAX_DEPTH:
                    following.append((*chain, issuer))
        level = following[:MAX_PATHS]


def _quiet_key_identifier(certificate: Certificate, *, authority: bool) -> bytes | None:
    try:
        return certificate.authority_key_identifier if authority else certificate.subject_key_identifier
    except UNREADABLE:
        return None  # a hint that cannot be read narrows nothing


def _quiet_name_key(name_der: bytes) -> NameKey | bytes:
    try:
        return name_key(name_der)
    except UNREADABLE:
        return name_der  # a name that cannot be read is the same in the same octets alone


def _first_problem(chain: tuple[Certificate, ...], inputs: PathInputs) -> str | None:
    try:
        return _walk(chain, inputs)
    except UNREADABLE as error:
        return f"an extension cannot be read: {type(error).__name__}"


def _walk(chain: tuple[Certificate, ...], inputs: PathInputs) -> str | None:
    """Walk from the anchor to the leaf (RFC 5280 §6.1.2 to §6.1.5); the anchor's own constraints apply too."""
    anchor, below = chain[-1], chain[-2::-1]
    if problem := _issuer_problem(anchor, is_anchor=True):
        return problem
    constraints = NameConstraints().within(anchor)
    remaining = len(below) if anchor.path_length is None else anchor.path_length
    policies = PolicyGraph(
        length=len(below),
        wanted=inputs.wanted_policies,
        initial_explicit=inputs.explicit_policy,
        initial_mapping_inhibit=inputs.inhibit_mapping,
        initial_any_inhibit=inputs.inhibit_any_policy,
    )
    for certificate in below:
        final = certificate is below[-1]
        if (final or not certificate.self_issued) and not constraints.admit(certificate):
            return "name constraints (RFC 5280 §4.2.1.10)"
        if not policies.add(certificate, final=final):
            return "certificate policies (RFC 5280 §6.1.3)"
        if problem := _critical_problem(certificate):
            return problem
        if final:
            break
        if problem := _issuer_problem(certificate, is_anchor=False):
            return problem
        if not certificate.self_issued:
            if remaining <= 0:
                return "path length (RFC 5280 §4.2.1.9)"
            remaining -= 1
        if certificate.path_length is not None:
            remaining = min(remaining, certificate.path_length)
        constraints = constraints.within(certificate)
    return None if policies.acceptable(below[-1]) else "certificate policies (RFC 5280 §6.1.5)"


def _critical_problem(certificate: Certificate) -> str | None:
    for name, extension in certificate.extensions.items():
        if extension.critical and name not in _UNDERSTOOD:
            return f"critical extension {name} is not understood"
    return None


def _issuer_problem(certificate: Certificate, *, is_anchor: bool) -> str | None:
    """Check that a certificate may issue others; a version 1 anchor, which cannot say so, may."""
    if is_anchor and not certificate.extensions:
        return None
    if not certificate.is_ca:
        return "issued by a certificate that is no CA (RFC 5280 §4.2.1.9)"
    if certificate.key_usage is not None and "keyCertSign" not in certificate.key_usage:
        return "issued by a key that may not sign certificates (RFC 5280 §4.2.1.3)"
    return None
