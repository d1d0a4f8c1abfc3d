"""Which certificates, and which reasons, a CRL speaks of (RFC 5280 §5.2.5, §6.3.3 b)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pki import der, oids
from pki.certificates import Certificate
from pki.der import Node
from pki.names import same_name
from signer.parsers.model import UNREADABLE
from signer.validation.crl import Crl

Reasons = frozenset[int]
ALL_REASONS: Final[Reasons] = frozenset(range(1, 9))
"""The numbers of ReasonFlags; 0 is unused (RFC 5280 §4.2.1.13)."""

_MAX_POINTS: Final = 64
_DIRECTORY_NAME: Final = 4
_URI: Final = 0x86
_FRESHEST_CRL: Final = "2.5.29.46"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Point:
    """A place where a certificate's status is said; `issuers` are the names (DER) of who else says it."""

    names: frozenset[bytes]
    reasons: Reasons
    issuers: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a list says of itself."""

    names: frozenset[bytes] | None = None
    users_only: bool = False
    authorities_only: bool = False
    attributes_only: bool = False
    reasons: Reasons = ALL_REASONS
    indirect: bool = False


def scope_of(crl: Crl) -> Scope:
    """Read a list's issuingDistributionPoint; a list without one speaks of all that its issuer issued."""
    extension = crl.extensions.get(oids.ISSUING_DISTRIBUTION_POINT)
    if extension is None:
        return Scope()
    parts = {part.tag: part for part in der.parse(extension.value).expect(der.SEQUENCE).children(6)}
    return Scope(
        names=_names(parts[0xA0], crl.issuer_der) if 0xA0 in parts else None,
        users_only=_flag(parts, 0x81),
        authorities_only=_flag(parts, 0x82),
        reasons=_reasons(parts[0x83]) if 0x83 in parts else ALL_REASONS,
        indirect=_flag(parts, 0x84),
        attributes_only=_flag(parts, 0x85),
    )


def reasons_said(crl: Crl, scope: Scope, certificate: Certificate) -> Reasons | str:
    """Return the reasons for which a list says whether a certificate is revoked, or why it says nothing of it."""
    if (scope.users_only and certificate.is_ca) or (scope.authorities_only and not certificate.is_ca):
        return "for another kind of certificate"
    if scope.attributes_only:
        return "for attribute certificates only"
    said: Reasons = frozenset()
    why = "another issuer's"
    for point in _points(certificate):
        if not _is_issuer(crl, scope, point, certificate):
            continue
        if scope.names is not None and not scope.names & (point.names or _as_names(point.issuers)):
            why = "another distribution point's"
            continue
        said |= point.reasons & scope.reasons
    return said or why


def fresher_addresses(crl: Crl) -> tuple[str, ...]:
    """Return where a list says that deltas to it are (freshestCRL); none where that cannot be read."""
    extension = crl.extensions.get(_FRESHEST_CRL)
    try:
        points = () if extension is None else der.parse(extension.value).children(_MAX_POINTS)
        names = [
            part.inner().children(_MAX_POINTS) for point in points for part in point.children(3) if part.tag == 0xA0
        ]
        return tuple(name.inner().content.decode("ascii") for found in names for name in found if name.tag == _URI)
    except UNREADABLE:
        return ()


def _is_issuer(crl: Crl, scope: Scope, point: _Point, certificate: Certificate) -> bool:
    if point.issuers:
        return scope.indirect and any(same_name(crl.issuer_der, name) for name in point.issuers)
    return same_name(crl.issuer_der, certificate.issuer_der)


def _points(certificate: Certificate) -> Iterator[_Point]:
    """Yield the certificate's own points, then the one of every certificate: its issuer's name."""
    extension = certificate.extensions.get(oids.CRL_DISTRIBUTION_POINTS)
    for node in () if extension is None else der.parse(extension.value).children(_MAX_POINTS):
        parts = {part.tag: part for part in node.children(3)}
        issuers = _directory_names(parts[0xA2]) if 0xA2 in parts else ()
        base = issuers[0] if issuers else certificate.issuer_der
        yield _Point(
            names=_names(parts[0xA0], base) if 0xA0 in parts else frozenset(),
            reasons=_reasons(parts[0x81]) if 0x81 in parts else ALL_REASONS,
            issuers=issuers,
        )
    yield _Point(names=_as_names((certificate.issuer_der,)), reasons=ALL_REASONS, issuers=())


def _names(node: Node, base: bytes) -> frozenset[bytes]:
    """Spell the names of a DistributionPointName so that equal ones compare equal."""
    inner = node.inner()
    if inner.tag == 0xA0:
        return frozenset(name.raw for name in inner.children(_MAX_POINTS))
    full = der.sequence(*(part.raw for part in der.parse(base).children()), der.tlv(der.SET, inner.content))
    return _as_names((full,))


def _as_names(directory_names: tuple[bytes, ...]) -> frozenset[bytes]:
    return frozenset(der.context(_DIRECTORY_NAME, name) for name in directory_names)


def _directory_names(node: Node) -> tuple[bytes, ...]:
    """Return the directory names of GeneralNames."""
    return tuple(name.inner().raw for name in node.children(_MAX_POINTS) if name.tag == 0xA0 | _DIRECTORY_NAME)


def _reasons(node: Node) -> Reasons:
    """Read ReasonFlags; those that RFC 5280 does not name are left out."""
    return der.parse(der.tlv(der.BIT_STRING, node.content)).bit_set() & ALL_REASONS


def _flag(parts: dict[int, Node], tag: int) -> bool:
    return tag in parts and parts[tag].content == b"\xff"
