"""The Admission extension (Common PKI part 1, table 29): which profession a certificate's holder has."""

from dataclasses import dataclass

from pki import der
from pki.der import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What the Admission extension says of its holder's profession."""

    profession_items: tuple[str, ...]
    profession_oids: tuple[str, ...]
    registration_number: str | None


def read_admission(node: Node) -> Admission | None:
    """Read the first ProfessionInfo of the extension's value; None where there is none.

    InvalidInput, IndexError or ValueError where it is not of its form.
    """
    admissions = node.sequence()[-1].sequence()
    if not admissions:
        return None
    infos = admissions[0].sequence()[-1].sequence()
    if not infos:
        return None
    items: tuple[str, ...] = ()
    professions: tuple[str, ...] = ()
    number: str | None = None
    for part in infos[0].sequence():
        if part.tag == der.SEQUENCE:
            children = part.children()
            if children and children[0].tag == der.OID:
                professions = tuple(child.oid() for child in children)
            else:
                items = tuple(child.text() for child in children)
        elif part.tag == der.PRINTABLE_STRING:
            number = part.text()
    return Admission(profession_items=items, profession_oids=professions, registration_number=number)
