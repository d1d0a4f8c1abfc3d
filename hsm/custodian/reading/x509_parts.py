"""What certificates, CRLs and OCSP responses share: times, algorithm, issuer, extensions (RFC 5280)."""

from datetime import datetime
from functools import lru_cache
from typing import Final

from hsm.custodian.reading.messages import SigningRule
from hsm.errors import PurposeRefused
from pki import der
from pki.keys import algorithm_identifier

MAX_EXTENSIONS: Final = 64


def check_algorithm(rule: SigningRule, node: der.Node) -> None:
    """Refuse a structure that names another signature algorithm than the key's."""
    if node.raw != algorithm_identifier(rule.algorithm):
        raise PurposeRefused("the structure names another signature algorithm")


def check_issuer_name(rule: SigningRule, node: der.Node) -> bytes:
    """Return the issuer's Name (DER); PurposeRefused for another than the key is bound to."""
    issuer = node.expect(der.SEQUENCE).raw
    if rule.issuer_der is not None and issuer != rule.issuer_der:
        raise PurposeRefused("the issuer is not this key's own")
    return issuer


def read_instant(node: der.Node) -> datetime:
    """Read a Time (§4.1.2.5): UTCTime, or GeneralizedTime from 2050 on."""
    if node.tag == der.UTC_TIME:
        text = node.content
        if len(text) == 13:
            return _moment((b"19" if text >= b"5" else b"20") + text)
    elif node.tag == der.GENERALIZED_TIME:
        moment = _moment(node.content)
        if moment.year >= 2050:
            return moment
    raise PurposeRefused("not a time")


def read_generalized_instant(node: der.Node) -> datetime:
    """Read a GeneralizedTime of whole seconds (RFC 6960 §4.2.2.1)."""
    return _moment(node.expect(der.GENERALIZED_TIME).content)


@lru_cache(maxsize=64)  # what is made in one second says the same times
def _moment(text: bytes) -> datetime:
    if len(text) == 15 and text.endswith(b"Z") and text[:14].isdigit():
        try:
            return datetime.fromisoformat(f"{text[:8].decode()}T{text[8:].decode()}")
        except ValueError:
            pass
    raise PurposeRefused("not a time")


def read_extensions(node: der.Node) -> dict[bytes, der.Node]:
    """Map the encoded OBJECT IDENTIFIER of each extension to the extension; none may repeat (§4.2)."""
    found: dict[bytes, der.Node] = {}
    extensions = node.inner().expect(der.SEQUENCE).children(MAX_EXTENSIONS)
    for extension in extensions:
        content = extension.expect(der.SEQUENCE).content
        if len(content) < 2 or content[0] != der.OID or content[1] >= 0x80:
            raise PurposeRefused("an extension without a name")
        found[content[: 2 + content[1]]] = extension
    if len(found) != len(extensions):
        raise PurposeRefused("an extension appears twice")
    return found


def extension_value(extension: der.Node) -> der.Node:
    """Read the one DER value of an extension: name, critical where it is said, OCTET STRING and no more."""
    parts = extension.children(3)
    if len(parts) == 3:
        parts[1].boolean()
    elif len(parts) != 2:
        raise PurposeRefused("not an extension")
    return parts[-1].expect(der.OCTET_STRING).inner()


@lru_cache(maxsize=256)
def encoded_oids(dotted: frozenset[str]) -> frozenset[bytes]:
    """Return the DER of each OBJECT IDENTIFIER."""
    return frozenset(der.oid(name) for name in dotted)
