"""Values of extensions that the builder has no types for: healthcare role and qualified certificate statements."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from ca.profiles import HolderKind, QcStatement
from pki import der, oids

_NUMERIC_STRING: Final = 0x12
_PRINTABLE_STRING: Final = 0x13


def healthcare_role(oid: str, title: str) -> bytes:
    """Encode subject directory attributes with one hcRole: a profession by its identifier, and in words.

    ISO 17090-2 §7.3: HCActorData is a SET OF HCActor, whose codedData is a SET with explicit tags. The coding scheme
    is the arc of the identifier, the code its last number.
    """
    scheme, _, number = oid.rpartition(".")
    coded = der.tlv(
        der.SET,
        der.context(0, der.oid(scheme)),
        der.context(1, der.tlv(_NUMERIC_STRING, number.encode())),
        der.context(2, der.utf8(title)),
    )
    actor = der.sequence(der.context(0, coded))
    return der.sequence(der.sequence(der.oid(oids.HC_ROLE), der.set_of([der.set_of([actor])])))


def _semantics(holder: HolderKind, _country: str) -> bytes:
    legal = holder is HolderKind.CENTRE
    identifier = oids.QCS_SEMANTICS_LEGAL if legal else oids.QCS_SEMANTICS_NATURAL
    return der.sequence(der.oid(oids.QCS_SYNTAX_V2), der.sequence(der.oid(identifier)))


def _type(holder: HolderKind, _country: str) -> bytes:
    kind = oids.QCS_TYPE_ESEAL if holder is HolderKind.CENTRE else oids.QCS_TYPE_ESIGN
    return der.sequence(der.oid(oids.QCS_TYPE), der.sequence(der.oid(kind)))


def _legislation(_holder: HolderKind, country: str) -> bytes:
    return der.sequence(
        der.oid(oids.QCS_LEGISLATION), der.sequence(der.tlv(_PRINTABLE_STRING, country.encode("ascii")))
    )


_STATEMENTS: Final[Mapping[QcStatement, Callable[[HolderKind, str], bytes]]] = MappingProxyType(
    {
        QcStatement.SEMANTICS: _semantics,
        QcStatement.COMPLIANCE: lambda _holder, _country: der.sequence(der.oid(oids.QCS_COMPLIANCE)),
        QcStatement.LEGISLATION: _legislation,
        QcStatement.SSCD: lambda _holder, _country: der.sequence(der.oid(oids.QCS_SSCD)),
        QcStatement.TYPE: _type,
    }
)


def qualified_statements(statements: tuple[QcStatement, ...], holder: HolderKind, country: str) -> bytes:
    """Encode QCStatements in the order given (RFC 3739 §3.2.6)."""
    return der.sequence(*(_STATEMENTS[statement](holder, country) for statement in statements))
