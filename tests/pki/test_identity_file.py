"""Identity schemes as files: what is read is what was written, and each wrong file is refused by member and rule."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki.errors import ErrorCode, InvalidInput
from pki.identity_file import IdentitiesInvalid, parse_identities, pilot_identities, scheme_body, scheme_members
from pki.oids import PILOT_ARC, OidArc

PILOT = pilot_identities()
ROLE: dict[str, Any] = {"number": 21, "title_fa": "بینایی‌سنج", "title_en": "Optometrist"}
PROFESSION = {**ROLE, "council_number": "OP-?[0-9]{3,6}"}


def write(members: dict[str, Any], path: tuple[str, ...] = ()) -> str:
    """Write tables as TOML: JSON's scalars and lists are TOML's."""
    lines = [f"[{'.'.join(json.dumps(name) for name in path)}]"] if path else []
    plain = {name: value for name, value in members.items() if not isinstance(value, dict)}
    lines += [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in plain.items()]
    lines += [write(value, (*path, name)) for name, value in members.items() if isinstance(value, dict)]
    return "\n".join(lines)


def scheme(**changes: Any) -> bytes:
    members = {"format": "mohr-identities/1", "name": "own", "version": 2, "extends": "pilot", **changes}
    return write({name: value for name, value in members.items() if value is not None}).encode()


def with_profession(**changes: Any) -> bytes:
    members = {name: value for name, value in {**PROFESSION, **changes}.items() if value is not None}
    return scheme(professions={"optometrist": members})


def test_a_scheme_that_extends_the_pilots_has_both() -> None:
    found = parse_identities(with_profession())
    assert list(found.professions) == [*PILOT.professions, "optometrist"]
    assert found.institutions == PILOT.institutions
    assert (found.person_prefix, found.organization_prefix) == ("PNO", "NTR")
    assert found.council_number("۱۲۳۴", "physician") == "1234"
    assert found.council_number("OP123", "optometrist") == "OP123"


def test_a_scheme_may_stand_alone() -> None:
    with pytest.raises(IdentitiesInvalid):
        parse_identities(scheme(extends=None))
    found = parse_identities(write(scheme_members(PILOT)).encode())
    assert scheme_body(found) == scheme_body(PILOT)
    found = parse_identities(scheme(extends=None, person_identifier="IR:", organization_identifier="VAT"))
    assert not found.professions
    assert (found.person_prefix, found.organization_prefix) == ("IR:", "VAT")


def test_the_pilots_identifiers_are_distinct_and_under_the_arc() -> None:
    arc = OidArc()
    named = [role.oid_under(arc) for role in (*PILOT.professions.values(), *PILOT.institutions.values())]
    assert len(set(named)) == len(named)
    assert PILOT.profession("physician").oid_under(arc) == f"{PILOT_ARC}.3.1"
    assert PILOT.technical_role("health-information-system").oid_under(arc) == f"{PILOT_ARC}.7.1"
    assert all(PILOT.slug_of(oid, arc) for oid in named)


OWN = "professions.optometrist"

WRONG: dict[str, tuple[bytes, str]] = {
    "not TOML": (b"format = [", "file"),
    "not UTF-8": (b'format = "\xff"', "file"),
    "too long": (b"# " + b"x" * 256 * 1024, "file"),
    "another format": (scheme(format="mohr-identities/2"), "format"),
    "no name": (scheme(name=""), "name"),
    "no version": (scheme(version=None), "version"),
    "version none": (scheme(version=0), "version"),
    "extends something": (scheme(extends="national"), "extends"),
    "an unknown member": (scheme(colour="green"), "colour"),
    "a prefix of nobody": (scheme(person_identifier="XXX"), "person_identifier"),
    "a country in the prefix": (scheme(person_identifier="PNOIR"), "person_identifier"),
    "a legal prefix of persons": (scheme(organization_identifier="PNO"), "organization_identifier"),
    "a province of controls": (scheme(provinces=["a\u202eb"]), "provinces"),
    "a province twice": (scheme(provinces=["فارس", "فارس"]), "provinces"),
    "professions in a list": (scheme(professions=["optometrist"]), "professions"),
    "a name with capitals": (scheme(professions={"Optometrist": PROFESSION}), "professions.Optometrist"),
    "a name too long": (scheme(professions={"o" * 33: PROFESSION}), "professions." + "o" * 33),
    "the name of a kind of holders": (scheme(professions={"citizen": PROFESSION}), "professions.citizen"),
    "the name of a kind of centres": (scheme(professions={"hospital": PROFESSION}), "institutions.hospital"),
    "the number of another": (with_profession(number=1), "professions.optometrist"),
    "the number of a kind of centres": (with_profession(number=101), "institutions.hospital"),
    "no number": (with_profession(number=None), "professions.optometrist.number"),
    "a number too large": (with_profession(number=10_000), "professions.optometrist.number"),
    "a title of controls": (with_profession(title_fa="\u200f"), "professions.optometrist.title_fa"),
    "no title": (with_profession(title_en=None), "professions.optometrist.title_en"),
    "a national identifier": (with_profession(oid="2.16.364.101.1.1.1"), "professions.optometrist.oid"),
    "an identifier of a UUID": (with_profession(oid="2.25.1.1"), "professions.optometrist.oid"),
    "an identifier under our arc": (with_profession(oid=f"{PILOT_ARC}.3.21"), "professions.optometrist.oid"),
    "no identifier": (with_profession(oid="physician"), "professions.optometrist.oid"),
    "an authority of controls": (
        with_profession(admission_authority="\u202e"),
        f"{OWN}.admission_authority",
    ),
    "retired in words": (with_profession(retired="yes"), "professions.optometrist.retired"),
    "no form": (with_profession(council_number=None), f"{OWN}.council_number"),
    "a form that repeats without end": (
        with_profession(council_number="[0-9]+"),
        "professions.optometrist.council_number",
    ),
    "a form with groups": (with_profession(council_number="(a?){9}"), f"{OWN}.council_number"),
    "a form that runs backwards": (
        with_profession(council_number="[0-9]{6,4}"),
        "professions.optometrist.council_number",
    ),
    "a class that runs backwards": (with_profession(council_number="[9-0]"), f"{OWN}.council_number"),
    "a form of 13 parts": (with_profession(council_number="a" * 13), f"{OWN}.council_number"),
    "a kind of centres with a form": (
        scheme(institutions={"spa": {**PROFESSION, "number": 99}}),
        "institutions.spa.council_number",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_refused_by_member_and_rule(case: str) -> None:
    data, member = WRONG[case]
    with pytest.raises(IdentitiesInvalid) as caught:
        parse_identities(data)
    assert caught.value.code is ErrorCode.IDENTITIES_INVALID
    assert caught.value.member == member
    assert caught.value.rule


def test_one_identifier_has_one_meaning() -> None:
    own = {**PROFESSION, "oid": "1.3.6.1.4.1.32473.99.1"}
    with pytest.raises(IdentitiesInvalid):
        parse_identities(scheme(professions={"one": own, "two": {**own, "number": 22}}))


@given(st.text(alphabet="[]{}?,-09azآی^\\+*()|.", max_size=30), st.text(max_size=40))
def test_any_form_is_refused_or_answers(form: str, number: str) -> None:
    try:
        found = parse_identities(with_profession(council_number=form))
    except IdentitiesInvalid:
        return
    try:
        said = found.council_number(number, "optometrist")
    except InvalidInput:
        return
    assert re.fullmatch(form, said)


@given(st.binary(max_size=200))
def test_any_octets_are_a_scheme_or_refused(data: bytes) -> None:
    with pytest.raises(IdentitiesInvalid):
        parse_identities(data)
