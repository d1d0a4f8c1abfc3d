"""Profile files: what is read is what was written, and each wrong file is refused by member and rule."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.config import validate_settings
from ca.errors import ProfileInvalid, ProfileRetired
from ca.profile_file import MAX_OCTETS, parse_profiles, pilot_profiles, profile_members
from ca.profile_rules import check_roles
from ca.profiles import IssuerName, ProfileSet
from pki import oids
from pki.errors import ErrorCode
from pki.identity_file import pilot_identities
from pki.oids import PILOT_ARC
from tests.ca.world import RAW_SETTINGS

PILOT = pilot_profiles()
KIOSK = {
    "version": 1,
    "status": "experimental",
    "holder": "system",
    "issuer": "systems",
    "type": [4, 9],
    "key_usage": ["digitalSignature"],
    "extended_key_usage": ["serverAuth", "clientAuth"],
    "keys": ["P-256"],
    "validity_days": 90,
    "alternative_name": True,
}


def toml(value: Any) -> str:
    """Write a value: JSON's scalars and lists are TOML's."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {toml(member)}" for name, member in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def document(tables: Mapping[str, dict[str, Any]], **top: Any) -> bytes:
    """Write a set."""
    head = {"format": "mohr-profiles/1", "name": "a deployer's", **top}
    lines = [f"{name} = {toml(value)}" for name, value in head.items() if value is not None]
    for name, members in tables.items():
        lines.append(f"[profiles.{json.dumps(name)}]")
        lines += [f"{member} = {toml(value)}" for member, value in members.items()]
    return "\n".join(lines).encode()


def extended(**profiles: dict[str, Any]) -> bytes:
    return document({name.replace("_", "-"): members for name, members in profiles.items()}, extends="pilot")


def pilots(name: str, **changes: Any) -> dict[str, Any]:
    members = profile_members(PILOT.get(name)) | changes
    return {member: value for member, value in members.items() if value is not None}


def with_change(profile: str, **changes: Any) -> bytes:
    return document({profile: pilots(profile, **changes)}, extends="pilot")


def kiosk(**changes: Any) -> bytes:
    return extended(kiosk={member: value for member, value in (KIOSK | changes).items() if value is not None})


def whole(**left_out: bool) -> bytes:
    """Write the pilot's set without extending it."""
    named = {str(p.name): profile_members(p) for p in PILOT if not left_out.get(p.name.replace("-", "_"))}
    return document(named)


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


WRONG: dict[str, tuple[bytes, str, str]] = {
    "not TOML": (b"profiles = [", "file", "TOML"),
    "not UTF-8": (b'name = "\xff"', "file", "UTF-8"),
    "a number without end": (b"x = 1" + b"0" * 5000, "file", "TOML"),
    "too deep": (b"x = " + b"[" * 5000, "file", "TOML"),
    "too large": (b"#" * (MAX_OCTETS + 1), "file", "octets"),
    "another format": (document({}, format="mohr-profiles/2"), "format", "mohr-profiles/1"),
    "no format": (b'name = "x"', "format", "missing"),
    "no name": (document({}, name=None), "name", "missing"),
    "an empty name": (document({}, name=""), "name", "1 to 64"),
    "a name of control characters": (document({}, name="a\u0007"), "name", "printable"),
    "another base": (document({}, extends="root"), "extends", "pilot"),
    "an unknown member": (document({}, extends="pilot", profile="x"), "profile", "not a member"),
    "profiles that are none": (document({}, profiles=[1]), "profiles", "table"),
    "a profile that is none": (document({}, extends="pilot") + b"\nprofiles.kiosk = 1", "profiles.kiosk", "table"),
    "too many profiles": (document({f"p{n}": {} for n in range(101)}), "profiles", "at most"),
    "a name in capitals": (document({"Kiosk": KIOSK}, extends="pilot"), "profiles.Kiosk", "small letters"),
    "an unknown member of a profile": (kiosk(validity=90), "profiles.kiosk.validity", "not a member"),
    "no version": (kiosk(version=None), "profiles.kiosk.version", "missing"),
    "a version of zero": (kiosk(version=0), "profiles.kiosk.version", "from 1"),
    "a version that is true": (kiosk(version=True), "profiles.kiosk.version", "whole number"),
    "a life in words": (kiosk(validity_days="90"), "profiles.kiosk.validity_days", "whole number"),
    "half a day": (kiosk(validity_days=0.5), "profiles.kiosk.validity_days", "whole number"),
    "no life": (kiosk(validity_days=0), "profiles.kiosk.validity_days", "positive"),
    "a life of ages": (kiosk(validity_days=10**9), "profiles.kiosk.validity_days", "whole number"),
    "a flag in words": (kiosk(admission="no"), "profiles.kiosk.admission", "true or false"),
    "a status unheard of": (kiosk(status="live"), "profiles.kiosk.status", "one of pilot"),
    "a holder unheard of": (kiosk(holder="robot"), "profiles.kiosk.holder", "one of authority"),
    "an issuer unheard of": (kiosk(issuer="nobody"), "profiles.kiosk.issuer", "one of root"),
    "an activation unheard of": (kiosk(activation="soon"), "profiles.kiosk.activation", "one of holder"),
    "a key usage unheard of": (kiosk(key_usage=["dataEncipherment"]), "profiles.kiosk.key_usage", "one of"),
    "a key usage that is no list": (kiosk(key_usage="digitalSignature"), "profiles.kiosk.key_usage", "list"),
    "a key usage of numbers": (kiosk(key_usage=[1]), "profiles.kiosk.key_usage", "different texts"),
    "a purpose twice": (
        kiosk(extended_key_usage=["clientAuth", "clientAuth"]),
        "profiles.kiosk.extended_key_usage",
        "different texts",
    ),
    "a purpose unheard of": (kiosk(extended_key_usage=["any"]), "profiles.kiosk.extended_key_usage", "is of"),
    "a key unheard of": (kiosk(keys=["P-521"]), "profiles.kiosk.keys", "one of"),
    "a linter unheard of": (kiosk(linters=["lint"]), "profiles.kiosk.linters", "is of"),
    "a type of one number": (kiosk(type=[4]), "profiles.kiosk.type", "[group, number]"),
    "a type below zero": (kiosk(type=[4, -1]), "profiles.kiosk.type", "[group, number]"),
    "a type of truths": (kiosk(type=[True, True]), "profiles.kiosk.type", "[group, number]"),
    "a type that is no identifier": (kiosk(type="4.1"), "profiles.kiosk.type", "object identifier"),
    "a type under the arc in full": (kiosk(type=f"{PILOT_ARC}.2.1.1"), "profiles.kiosk.type", "outside"),
    "no type": (kiosk(type=None), "profiles.kiosk.type", "have a type"),
    "two profiles of one type": (kiosk(type=[4, 1]), "profiles.kiosk.type", "that of tls-server"),
    "a national policy": (kiosk(type="2.16.364.101.1.1.2.1"), "profiles.kiosk.type", "2.16.364"),
    "a type from a UUID": (kiosk(type="2.25.329800735698586629295641978511506172918"), "profiles.kiosk.type", ""),
    "a short UUID arc": (kiosk(type="2.25.1.2"), "profiles.kiosk.type", "2.25"),
    "a life beyond the issuer's": (kiosk(validity_days=8 * 365 + 1), "profiles.kiosk.validity_days", "beyond"),
    "an authority beyond its root": (
        with_change("issuing-ca", validity_days=21 * 365),
        "profiles.issuing-ca.validity_days",
        "beyond",
    ),
    "a purpose beyond the authority's": (
        kiosk(issuer="persons"),
        "profiles.kiosk.extended_key_usage",
        "authority persons",
    ),
    "a responder for whom an authority has no purpose": (
        document({}, extends="pilot") + b'\nauthorities.persons = ["clientAuth"]',
        "profiles.ocsp.extended_key_usage",
        "authority persons",
    ),
    "a confined root": (
        document({}, extends="pilot") + b'\nauthorities.root = ["clientAuth"]',
        "authorities.root",
        "confined",
    ),
    "an authority unheard of": (
        document({}, extends="pilot") + b"\nauthorities.others = []",
        "authorities.others",
        "not a member",
    ),
    "a leaf that certifies": (kiosk(key_usage=["keyCertSign"]), "profiles.kiosk.key_usage", "only CAs"),
    "a leaf that signs CRLs": (kiosk(key_usage=["cRLSign"]), "profiles.kiosk.key_usage", "only CAs"),
    "a leaf with a path length": (kiosk(path_length=0), "profiles.kiosk.path_length", "belongs to a CA"),
    "an authority of the deployer's own": (
        kiosk(holder="authority", type=None, key_usage=["keyCertSign"], issuer="systems"),
        "profiles.kiosk.issuer",
        "nobody else",
    ),
    "an authority with a path": (with_change("issuing-ca", path_length=1), "profiles.issuing-ca.path_length", "is 0"),
    "a root with no path": (with_change("root", path_length=0), "profiles.root.path_length", "certifies"),
    "an authority with purposes of its own": (
        with_change("issuing-ca", extended_key_usage=["clientAuth"]),
        "profiles.issuing-ca.extended_key_usage",
        "table of authorities",
    ),
    "a leaf under the root": (kiosk(issuer="root"), "profiles.kiosk.issuer", "nobody else"),
    "a leaf under a parent": (kiosk(issuer="parent"), "profiles.kiosk.issuer", "its own"),
    "a leaf of no issuer": (kiosk(issuer=None), "profiles.kiosk.issuer", "missing"),
    "commitment and login in one": (
        kiosk(key_usage=["digitalSignature", "nonRepudiation"]),
        "profiles.kiosk.key_usage",
        "share no key",
    ),
    "a commitment key that logs in": (
        kiosk(key_usage=["nonRepudiation"]),
        "profiles.kiosk.extended_key_usage",
        "does not log in",
    ),
    "a clinician's signature for logging in": (
        with_change("clin-sign", key_usage=["digitalSignature"]),
        "profiles.clin-sign.key_usage",
        "nonRepudiation alone",
    ),
    "a clinician's signature of another type": (
        with_change("clin-sign", type=[9, 9]),
        "profiles.clin-sign.type",
        "[1, 1]",
    ),
    "a clinician's signature for citizens": (
        with_change("clin-sign", holder="citizen", admission=None),
        "profiles.clin-sign.holder",
        "clinician",
    ),
    "a centre's login without the purpose": (
        with_change("hix-tls", extended_key_usage=None),
        "profiles.hix-tls.extended_key_usage",
        "promises",
    ),
    "a set without responders": (whole(ocsp=True), "profiles", "lack ocsp"),
    "a set without a root": (whole(root=True), "profiles", "lack root"),
    "a retired responder": (with_change("ocsp", status="retired"), "profiles.ocsp.status", "deployment itself"),
    "another responder": (
        kiosk(extended_key_usage=["OCSPSigning"], alternative_name=True),
        "profiles.kiosk.extended_key_usage",
        "profile ocsp",
    ),
    "a responder for a year": (with_change("ocsp", validity_days=365), "profiles.ocsp", "30 days"),
    "another time stamp": (
        kiosk(extended_key_usage=["timeStamping"], extended_key_usage_critical=True),
        "profiles.kiosk.extended_key_usage",
        "profile tsa",
    ),
    "a time stamp without an end of its key": (
        with_change("tsa", private_key_usage_days=None),
        "profiles.tsa.private_key_usage_days",
        "missing",
    ),
    "a server without names": (
        kiosk(holder="centre", alternative_name=False),
        "profiles.kiosk.extended_key_usage",
        "alternative names",
    ),
    "a system without names": (
        kiosk(extended_key_usage=["clientAuth"], alternative_name=False),
        "profiles.kiosk.alternative_name",
        "hosts",
    ),
    "names of a person": (with_change("cit-auth", alternative_name=True), "profiles.cit-auth.alternative_name", ""),
    "Admission of a citizen": (with_change("cit-sign", admission=True), "profiles.cit-sign.admission", "clinicians"),
    "Admission beside a pseudonym": (
        with_change("clin-auth", pseudonym=True),
        "profiles.clin-auth.admission",
        "own names",
    ),
    "a centre under a pseudonym": (
        with_change("hix-seal", pseudonym=True, admission=None),
        "profiles.hix-seal.pseudonym",
        "persons",
    ),
    "a server with RSA-2048": (kiosk(keys=["RSA-2048"]), "profiles.kiosk.keys", "cards"),
    "ML-DSA beyond trials": (kiosk(keys=["ML-DSA-65"], status="pilot"), "profiles.kiosk.keys", "experimental"),
    "ML-DSA of a service": (
        with_change("seal", keys=["ML-DSA-65"], status="experimental"),
        "profiles.seal.keys",
        "holders of files",
    ),
    "a leaf without status": (kiosk(status_pointers=False), "profiles.kiosk.status_pointers", "no status"),
    "Admission of a system without a role": (kiosk(admission=True), "profiles.kiosk.technical_role", "system's"),
    "a role without Admission": (
        kiosk(technical_role="health-information-system"),
        "profiles.kiosk.technical_role",
        "system's",
    ),
    "a role of a centre": (
        with_change("hix-seal", technical_role="health-information-system"),
        "profiles.hix-seal.technical_role",
        "system's",
    ),
    "a role that is no name": (kiosk(technical_role=1), "profiles.kiosk.technical_role", "text"),
    "encryption beside login": (
        with_change("hix-enc", key_usage=["keyAgreement", "digitalSignature"]),
        "profiles.hix-enc.key_usage",
        "alone",
    ),
    "encipherment by a curve": (with_change("hix-enc", keys=["P-256"]), "profiles.hix-enc.key_usage", "RSA"),
    "agreement by RSA": (
        with_change("hix-enc", keys=["RSA-3072"], key_usage=["keyAgreement"]),
        "profiles.hix-enc.key_usage",
        "RSA",
    ),
    "encryption by ML-DSA": (
        with_change("hix-enc", keys=["P-256", "ML-DSA-65"], key_usage=["keyAgreement"], status="experimental"),
        "profiles.hix-enc.key_usage",
        "curves",
    ),
    "encryption that logs in": (
        with_change("hix-enc", extended_key_usage=["clientAuth"]),
        "profiles.hix-enc.extended_key_usage",
        "log in",
    ),
    "hix-enc that signs": (
        with_change("hix-enc", key_usage=["nonRepudiation"]),
        "profiles.hix-enc.key_usage",
        "keyAgreement",
    ),
    "a title of a citizen": (with_change("cit-sign", title=True), "profiles.cit-sign.title", "clinicians"),
    "a unit of a person": (
        with_change("clin-sign", organizational_unit=True),
        "profiles.clin-sign.organizational_unit",
        "centres",
    ),
    "a linter of persons for a centre": (
        with_change("hix-seal", linters=["NCP_NATURAL_PERSON_CERTIFICATE"]),
        "profiles.hix-seal.linters",
        "persons",
    ),
    "a linter of centres for a person": (
        with_change("clin-sign", linters=["NCP_LEGAL_PERSON_CERTIFICATE"]),
        "profiles.clin-sign.linters",
        "centres",
    ),
    "a linter of qualified certificates for others": (
        with_change("clin-sign", linters=["QCP_N_QSCD_NON_EIDAS_FINAL_CERTIFICATE"], qc_statements=["sscd"]),
        "profiles.clin-sign.linters",
        "compliance",
    ),
    "a system at a smart-card logon": (
        kiosk(extended_key_usage=["clientAuth", "smartcardLogon"], issuer="systems"),
        "profiles.kiosk.extended_key_usage",
        "",
    ),
    "a healthcare role of a citizen": (
        with_change("cit-sign", hc_role=True),
        "profiles.cit-sign.hc_role",
        "clinicians",
    ),
    "a statement unheard of": (
        with_change("clin-sign", qc_statements=["eidas"]),
        "profiles.clin-sign.qc_statements",
        "",
    ),
    "statements about a system": (kiosk(qc_statements=["sscd"]), "profiles.kiosk.qc_statements", "persons and centres"),
    "compliance with no law": (
        with_change("clin-sign", qc_statements=["compliance"]),
        "profiles.clin-sign.qc_statements",
        "legislation",
    ),
    "a signature's type for logging in": (
        with_change("clin-auth", qc_statements=["type"]),
        "profiles.clin-auth.qc_statements",
        "signature",
    ),
    "the semantics of a pseudonym": (
        with_change("cit-auth", qc_statements=["semantics"]),
        "profiles.cit-auth.qc_statements",
        "pseudonym",
    ),
    "renewal before the beginning": (kiosk(renewal_days=90), "profiles.kiosk.renewal_days", "within the life"),
}


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
