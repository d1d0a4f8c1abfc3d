"""The tables of docs/verdicts.md: every line is made in every format that it names, and judged."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from signer.validation.verdict import Crypto, TimeProof
from signer.validation.verify import verify_bytes
from tests.signer.validation.expect import UNDECIDED, expect, only
from tests.support.carriers import CARRIERS, CannotCarry, carry
from tests.support.row_cases import CASES
from tests.support.zoo import Zoo

PAGE: Final = Path(__file__).parents[3] / "docs" / "verdicts.md"
GROUPS: Final = {
    "all": tuple(CARRIERS),
    "JWS": ("JWS compact", "JWS JSON"),
    "CMS": ("CAdES", "CAdES detached", "PAdES", "ASiC-S", "ASiC-E"),
}
HELD_TO: Final = frozenset((*range(1, 40), 43))


@dataclass(frozen=True)
class Line:
    row: str
    case: str
    formats: tuple[str, ...]
    answer: str
    stamps: str


def table(number: int) -> list[list[str]]:
    """Return the cells of the page's tables, without their heads."""
    found = re.findall(r"(?:^\|.*\|\n)+", PAGE.read_text(), re.MULTILINE)[number]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found.splitlines()[2:]]


def named(formats: str) -> tuple[str, ...]:
    return tuple(one for name in formats.split(", ") for one in GROUPS.get(name, (name,)))


LINES: Final = [Line(row, case, named(formats), answer, stamps) for row, case, formats, answer, stamps in table(0)]


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line.row}-{line.case}")
def test_a_line_of_the_table_holds_in_every_format_that_it_names(zoo: Zoo, line: Line) -> None:
    case = CASES[line.case](zoo)
    for form in line.formats:
        carried = carry(zoo, case.act, form)
        verdict = verify_bytes(carried.data, zoo.context(**({"content": carried.content} | case.context)))
        said = " / ".join(filter(None, (verdict.indication, verdict.sub_indication)))
        assert said == line.answer, (form, verdict)
        stamps = [stamp for signature in verdict.signatures for stamp in signature.timestamps]
        of_stamps = {" / ".join(filter(None, (stamp.indication, stamp.sub_indication))) for stamp in stamps}
        assert of_stamps == set(filter(None, (line.stamps,))), form
        if line.stamps == "TOTAL-PASSED":
            assert only(verdict).time_proof is TimeProof.TIMESTAMP, form
        elif line.stamps:
            assert only(verdict).time_proof is TimeProof.CLAIMED, form


def test_every_case_stands_in_the_table_for_every_format_that_can_carry_it(zoo: Zoo) -> None:
    told: dict[str, set[str]] = {name: set() for name in CASES}
    for line in LINES:
        assert not told[line.case] & set(line.formats), line.case
        told[line.case] |= set(line.formats)
    for name, make in CASES.items():
        case = make(zoo)
        for form in set(CARRIERS) - told[name]:
            with pytest.raises(CannotCarry):
                carry(zoo, case.act, form)


def test_every_row_has_a_line_and_every_test_that_is_named_is_there() -> None:
    rest = table(1)
    told = {int(row) for row in (*(line.row for line in LINES), *(cells[0] for cells in rest)) if row.isdigit()}
    assert told >= HELD_TO
    folder = PAGE.parents[1] / "tests" / "signer"
    for *_others, tests in rest:
        for file in tests.split("; "):
            module, _, names = file.partition(": ")
            (path,) = folder.rglob(f"{module}.py")
            there = set(re.findall(r"^def test_(\w+)", path.read_text(), re.MULTILINE))
            assert set(names.split(", ")) <= there, module


def test_an_xml_signature_is_recognised_and_not_judged(zoo: Zoo) -> None:
    signature = b'<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo/></ds:Signature>'
    for data in (signature, b'<?xml version="1.0"?>\n<Bundle>' + signature + b"</Bundle>"):
        verdict = verify_bytes(data, zoo.context())
        expect(verdict, UNDECIDED, "GENERIC")
        assert (verdict.format, only(verdict).crypto) == ("XAdES", Crypto.UNKNOWN)
