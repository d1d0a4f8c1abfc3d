"""Profile files: what is read is what was written, and each wrong file is refused by member and rule."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.config import validate_settings
from ca.errors import ProfileInvalid, ProfileRetired
from ca.profile_file import parse_profiles, profile_members
from ca.profile_rules import check_roles
from ca.profiles import IssuerName, ProfileSet
from pki import oids
from pki.errors import ErrorCode
from pki.identity_file import pilot_identities
from pki.oids import PILOT_ARC
from tests.ca.profile_documents import PILOT, document, kiosk, whole, with_change
from tests.ca.world import RAW_SETTINGS
from tests.ca.wrong_profiles import WRONG


def refused(data: bytes) -> tuple[str, str]:
    with pytest.raises(ProfileInvalid) as caught:
        parse_profiles(data)
    assert caught.value.code is ErrorCode.PROFILE_INVALID
    assert caught.value.detail == f"{caught.value.member}: {caught.value.rule}"
    return caught.value.member, caught.value.rule


def test_a_set_that_extends_the_pilots_has_both() -> None:
    found = parse_profiles(kiosk())
    assert [profile.name for profile in found] == [*(profile.name for profile in PILOT), "kiosk"]
    assert found.get("kiosk").extended_key_usage == (oids.EKU_SERVER_AUTH, oids.EKU_CLIENT_AUTH)
    assert found.get("kiosk") in found.issued_by(IssuerName.SYSTEMS)
    assert found.get("kiosk") not in found.issued_by(IssuerName.PERSONS)
    assert found.authority_usages(IssuerName.PERSONS) == PILOT.authority_usages(IssuerName.PERSONS)


def test_a_set_may_stand_alone_and_confine_no_authority() -> None:
    found = parse_profiles(whole())
    assert found.authority_usages(IssuerName.PERSONS) == ()
    assert {p.name: profile_members(p) for p in found} == {p.name: profile_members(p) for p in PILOT}


def test_the_digest_is_of_what_is_said_and_not_of_how() -> None:
    again = parse_profiles(document({}, extends="pilot") + b"\n# a remark\n")
    assert again.digest == PILOT.digest
    assert parse_profiles(kiosk()).digest != PILOT.digest
    assert parse_profiles(kiosk()).digest == parse_profiles(kiosk(linters=["pkix"], admission=False)).digest
    assert parse_profiles(kiosk()).digest != parse_profiles(kiosk(version=2)).digest


def test_a_retired_profile_is_known_and_issues_nothing() -> None:
    found = parse_profiles(with_change("cit-sign", status="retired"))
    assert found.get("cit-sign").name == "cit-sign"
    with pytest.raises(ProfileRetired) as caught:
        found.to_issue("cit-sign")
    assert caught.value.code is ErrorCode.PROFILE_RETIRED


def test_a_type_may_be_an_identifier_of_its_own() -> None:
    found = parse_profiles(kiosk(type="1.3.6.1.4.1.32473.99.1"))
    arc = validate_settings(RAW_SETTINGS).oids
    assert found.get("kiosk").type_under(arc) == "1.3.6.1.4.1.32473.99.1"
    assert found.get("clin-sign").type_under(arc) == f"{PILOT_ARC}.2.1.1"
    assert found.get("root").type_under(arc) is None


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_refused_by_member_and_rule(case: str) -> None:
    data, member, words = WRONG[case]
    found, rule = refused(data)
    assert (found, words in rule) == (member, True), rule


def test_the_settings_take_a_deployers_set() -> None:
    from dataclasses import replace

    settings = validate_settings(replace(RAW_SETTINGS, profiles=kiosk()))
    assert settings.profiles.get("kiosk").status == "experimental"
    assert validate_settings(RAW_SETTINGS).profiles is PILOT
    with pytest.raises(ProfileInvalid, match=r"profiles\.kiosk\.type"):
        validate_settings(replace(RAW_SETTINGS, profiles=kiosk(type="1.2.3.4.5"), oid_arc="1.2.3.4"))


def _parsed(data: bytes) -> ProfileSet | None:
    try:
        return parse_profiles(data)
    except ProfileInvalid:
        return None


@given(st.binary(max_size=300))
def test_any_octets_are_a_set_or_refused(data: bytes) -> None:
    assert _parsed(data) is None


scalars = st.one_of(
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        [*PILOT.profiles, "clientAuth", "serverAuth", "nonRepudiation", "P-256", "2.16.364.101.1.1", "retired"]
    ),
    st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20),
)
values = st.one_of(scalars, st.lists(scalars, max_size=4))
MEMBERS = sorted({member for profile in PILOT for member in profile_members(profile)} | {"unheard_of"})


@given(st.sampled_from(list(PILOT.profiles)), st.dictionaries(st.sampled_from(MEMBERS), values, max_size=3))
def test_any_members_make_a_sound_set_or_are_refused(name: str, changes: dict[str, Any]) -> None:
    found = _parsed(with_change(name, **changes))
    if found is None:
        return
    assert profile_members(found.get(name)) == profile_members(parse_profiles(with_change(name, **changes)).get(name))
    written = document({profile.name: profile_members(profile) for profile in found}, extends="pilot")
    assert parse_profiles(written).digest == found.digest
    for profile in found:
        assert profile.validity <= found.get("issuing-ca" if not profile.is_ca else "root").validity
        assert profile.is_ca or not {"keyCertSign", "cRLSign"} & profile.key_usage


PAGE = Path(__file__).parents[2] / "docs" / "profiles.md"


def test_a_role_is_one_that_the_deployment_has() -> None:
    with pytest.raises(ProfileInvalid) as caught:
        check_roles(parse_profiles(kiosk(admission=True, technical_role="toaster")), pilot_identities())
    assert caught.value.member == "profiles.kiosk.technical_role"
    with pytest.raises(ProfileInvalid):
        validate_settings(replace(RAW_SETTINGS, profiles=kiosk(admission=True, technical_role="toaster")))


def test_the_page_shows_a_set_that_is_taken() -> None:
    example = PAGE.read_text(encoding="utf-8").split("```toml\n")[1].split("```")[0]
    found = parse_profiles(example.encode())
    assert found.get("infosys-kiosk").extensions >= {oids.ADMISSION, oids.SUBJECT_ALT_NAME}


def test_the_page_names_every_member() -> None:
    section = PAGE.read_text(encoding="utf-8").split("## Members\n")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("|")]
    named = {word for first in rows[2:] for word in re.findall(r"`(\w+)`", first)}
    members = {member for profile in PILOT for member in profile_members(profile)} | {
        "hc_role",
        "qc_statements",
        "title",
        "organizational_unit",
    }
    assert named == members
