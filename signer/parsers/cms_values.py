"""Validation data in the attributes of CMS signatures and time-stamp tokens (EN 319 122-1 §A.1.1, §A.1.2)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from pki.certificates import Certificate
from pki.der import Node
from pki.errors import ServiceError
from signer.parsers.signed_data import MAX_CERTIFICATES, SignerInfo, all_values

CERTIFICATE_VALUES: Final = "1.2.840.113549.1.9.16.2.23"
REVOCATION_VALUES: Final = "1.2.840.113549.1.9.16.2.24"
_ADOBE_REVOCATION: Final = "1.2.840.113583.1.1.8"  # ISO 32000-1 §12.8.3.3.2
_CRLS: Final = 0xA0
_RESPONSES: Final = 0xA1


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationValues:
    """What certificate-values and revocation-values hold; lists and responses as DER."""

    certificates: tuple[Certificate, ...] = ()
    crls: tuple[bytes, ...] = ()
    ocsp_responses: tuple[bytes, ...] = ()


def validation_values(signer: SignerInfo) -> ValidationValues:
    """Collect what a signer's attributes hold; ServiceError or IndexError where one is none."""
    certificates = [node for value in all_values(signer.unsigned, CERTIFICATE_VALUES) for node in _members(value)]
    revocation = (*all_values(signer.unsigned, REVOCATION_VALUES), *all_values(signer.signed, _ADOBE_REVOCATION))
    return ValidationValues(
        certificates=tuple(_readable(certificates)),
        crls=tuple(node.raw for value in revocation for node in _revocation(value, _CRLS)),
        ocsp_responses=tuple(node.raw for value in revocation for node in _revocation(value, _RESPONSES)),
    )


def octets_in(kind: str, value: Node) -> frozenset[bytes]:
    """Return the DER of the certificates, lists and responses in one value of an attribute of this type."""
    if kind == CERTIFICATE_VALUES:
        return frozenset(node.raw for node in _members(value))
    if kind == REVOCATION_VALUES:
        return frozenset(node.raw for tag in (_CRLS, _RESPONSES) for node in _revocation(value, tag))
    return frozenset()


def _members(value: Node) -> tuple[Node, ...]:
    return value.children(MAX_CERTIFICATES)


def _revocation(value: Node, tag: int) -> Iterator[Node]:
    for part in value.children(3):
        if part.tag == tag:
            yield from _members(part.inner())


def _readable(nodes: Iterable[Node]) -> Iterator[Certificate]:
    for node in nodes:
        try:
            yield Certificate.parse(node.raw)
        except ServiceError:
            continue  # an unreadable extra certificate proves nothing and harms nothing
