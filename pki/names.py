"""Comparing and constraining names (RFC 5280 §4.2.1.10, §7.1): what chains to what, and what a CA may name."""

import ipaddress
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from pki import der, oids
from pki.certificates import Certificate
from pki.der import Node

_EMAIL_ATTRIBUTE: Final = "1.2.840.113549.1.9.1"
_RFC822, _DNS, _DIRECTORY, _URI, _IP = 0x81, 0x82, 0xA4, 0x86, 0x87
MAX_NAMES: Final = 1024
_SHORT_NAME: Final = 1024

NameKey = tuple[frozenset[tuple[str, str]], ...]


def name_key(name_der: bytes) -> NameKey:
    """Spell a Name so that equal names compare equal: case and inner white space do not count (§7.1)."""
    return _remembered_key(name_der) if len(name_der) <= _SHORT_NAME else _read_key(name_der)


@lru_cache(maxsize=2048)
def _remembered_key(name_der: bytes) -> NameKey:
    return _read_key(name_der)


def _read_key(name_der: bytes) -> NameKey:
    key = []
    for relative in der.parse(name_der).sequence():
        pairs = ((kind.oid(), value.text()) for kind, value in (part.sequence() for part in relative.set_of()))
        key.append(frozenset((kind, " ".join(text.split()).casefold()) for kind, text in pairs))
    return tuple(key)


def same_name(left_der: bytes, right_der: bytes) -> bool:
    """Compare two Names."""
    return left_der == right_der or name_key(left_der) == name_key(right_der)


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneralName:
    """A name of a kind that constraints speak of; a directory name holds its DER, others their content."""

    tag: int
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class NameConstraints:
    """What a CA may name: every permitted set must admit a name of its kind, no excluded entry may match."""

    permitted: tuple[tuple[GeneralName, ...], ...] = ()
    excluded: tuple[GeneralName, ...] = ()

    def within(self, certificate: Certificate) -> "NameConstraints":
        """Return these constraints narrowed by those a CA certificate carries."""
        extension = certificate.extensions.get(oids.NAME_CONSTRAINTS)
        if extension is None:
            return self
        permitted, excluded = self.permitted, self.excluded
        for part in der.parse(extension.value).sequence():
            names = tuple(general_name(tree.sequence()[0]) for tree in part.children(MAX_NAMES))
            if part.tag == 0xA0:
                permitted += (names,)
            else:
                excluded += names
        return NameConstraints(permitted=permitted, excluded=excluded)

    def admit(self, certificate: Certificate) -> bool:
        """Say whether all names of a certificate are allowed."""
        if not self.permitted and not self.excluded:
            return True
        return all(self.admits(name) for name in _names_of(certificate))

    def admits(self, name: GeneralName) -> bool:
        """Say whether one name is allowed."""
        if any(entry.tag == name.tag and _matches(name, entry) for entry in self.excluded):
            return False
        for permitted in self.permitted:
            same_kind = [entry for entry in permitted if entry.tag == name.tag]
            if same_kind and not any(_matches(name, entry) for entry in same_kind):
                return False
        return True


def general_name(node: Node) -> GeneralName:
    """Read a GeneralName (RFC 5280 §4.2.1.6)."""
    return GeneralName(tag=node.tag, value=node.inner().raw if node.tag == _DIRECTORY else node.content)


def _names_of(certificate: Certificate) -> list[GeneralName]:
    found = []
    if certificate.subject_der != b"\x30\x00":
        found.append(GeneralName(tag=_DIRECTORY, value=certificate.subject_der))
    extension = certificate.extensions.get(oids.SUBJECT_ALT_NAME)
    if extension is not None:
        found += [general_name(node) for node in der.parse(extension.value).children(MAX_NAMES)]
    elif mail := next((text for kind, text in certificate.subject_attributes if kind == _EMAIL_ATTRIBUTE), None):
        found.append(GeneralName(tag=_RFC822, value=mail.encode()))
    return found


def _matches(name: GeneralName, constraint: GeneralName) -> bool:
    match name.tag:
        case 0xA4:
            base = name_key(constraint.value)
            return name_key(name.value)[: len(base)] == base
        case 0x82:
            return _host_within(_text(name.value), _text(constraint.value))
        case 0x81:
            return _mailbox_within(_text(name.value), _text(constraint.value))
        case 0x86:
            host = _text(name.value).partition("://")[2].split("/", 1)[0].rpartition("@")[2].split(":", 1)[0]
            wanted = _text(constraint.value)
            return host.endswith(wanted) if wanted.startswith(".") else host == wanted
        case 0x87:
            return _address_within(name.value, constraint.value)
    return True  # a kind this reader cannot compare counts as matching: excluded refuses it, permitted admits it


def _text(value: bytes) -> str:
    return value.decode("latin-1").lower()


def _host_within(host: str, base: str) -> bool:
    return not base or host == base or host.endswith("." + base.lstrip("."))


def _mailbox_within(mailbox: str, base: str) -> bool:
    host = mailbox.rpartition("@")[2]
    if "@" in base:
        return mailbox == base
    return host.endswith(base) if base.startswith(".") else host == base


def _address_within(address: bytes, base: bytes) -> bool:
    if len(base) != 2 * len(address) or len(address) not in (4, 16):
        return False
    mask = int.from_bytes(base[len(address) :], "big")
    network = int.from_bytes(base[: len(address)], "big")
    return int.from_bytes(ipaddress.ip_address(address).packed, "big") & mask == network & mask
