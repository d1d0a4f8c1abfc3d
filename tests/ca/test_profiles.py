from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from datetime import timedelta
from typing import Any

import pytest

from ca.errors import ProfileInvalid, ProfileUnknown
from ca.key_policy import KeyKind
from ca.profile_file import pilot_profiles
from ca.profiles import Activation, HolderKind, KeyUsage, ProfileName
from pki import oids
from pki.errors import ErrorCode

PILOT = pilot_profiles()
EVERY = list(PILOT)


def test_every_name_has_its_profile() -> None:
    names = [value for value in vars(ProfileName).values() if isinstance(value, ProfileName)]
    assert set(PILOT.profiles) == set(names)
    assert all(PILOT.get(name).name == name for name in names)


@pytest.mark.parametrize("text", ["", "Clin-Sign", "clin_sign", "-clin", "clin--sign", "clin-", "9clin", "ب", "c" * 33])
def test_a_name_is_words_of_small_letters_and_digits(text: str) -> None:
    with pytest.raises(ValueError, match="small letters"):
        ProfileName(text)


def test_a_deployers_name_need_not_be_known_here() -> None:
    assert ProfileName("infosys-2") == "infosys-2"


def test_an_unknown_name_is_refused_by_its_code() -> None:
    with pytest.raises(ProfileUnknown) as caught:
        PILOT.get("clin-encrypt")
    assert caught.value.code is ErrorCode.PROFILE_UNKNOWN


def test_no_two_profiles_share_a_type() -> None:
    numbers = [profile.type_number for profile in EVERY if profile.type_number is not None]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("profile", EVERY, ids=lambda profile: profile.name)
def test_commitment_and_login_never_share_a_key(profile: Any) -> None:
    assert len(profile.key_usage & {KeyUsage.NON_REPUDIATION, KeyUsage.DIGITAL_SIGNATURE}) <= 1


def test_only_cards_may_still_have_rsa_2048() -> None:
    allowed = {profile.name for profile in EVERY if KeyKind.RSA_2048 in profile.keys}
    assert allowed == {"clin-sign", "clin-auth", "cit-sign", "cit-auth"}


def test_lives_are_those_of_the_profile_set() -> None:
    assert PILOT.get("hix-tls").lifetime(hardware=False) == timedelta(days=90)
    assert PILOT.get("hix-tls").lifetime(hardware=True) == timedelta(days=365)
    assert PILOT.get("clin-sign").lifetime(hardware=True) == timedelta(days=3 * 365)
    assert PILOT.get("ocsp").lifetime(hardware=True) == timedelta(days=30)
    assert PILOT.get("tsa").private_key_usage == timedelta(days=365)


def test_time_stamping_alone_has_a_critical_purpose() -> None:
    assert [p.name for p in EVERY if p.extended_key_usage_critical] == ["tsa"]
    assert PILOT.get("tsa").extended_key_usage == (oids.EKU_TIME_STAMPING,)


def test_clinicians_centres_and_instances_carry_admission_and_citizens_do_not() -> None:
    with_admission = {profile.name for profile in EVERY if profile.admission}
    assert with_admission == {"clin-sign", "clin-auth", "hix-tls", "hix-seal", "hix-enc", "infosys", "infosys-server"}


def test_only_the_deployments_own_certificates_need_no_file() -> None:
    own = {profile.name for profile in EVERY if not profile.needs_file}
    assert own == {"root", "issuing-ca", "ocsp", "tsa", "seal"}


@pytest.mark.parametrize(
    ("name", "changes", "member"),
    [
        ("clin-sign", {"key_usage": frozenset()}, "key_usage"),
        ("clin-sign", {"key_usage": frozenset({KeyUsage.NON_REPUDIATION, KeyUsage.DIGITAL_SIGNATURE})}, "key_usage"),
        ("clin-sign", {"key_usage": frozenset({KeyUsage.KEY_CERT_SIGN})}, "key_usage"),
        ("issuing-ca", {"key_usage": frozenset({KeyUsage.DIGITAL_SIGNATURE})}, "key_usage"),
        ("issuing-ca", {"type_number": (9, 9)}, "type"),
        ("clin-sign", {"type_number": None}, "type"),
        ("clin-sign", {"path_length": 0}, "path_length"),
        ("clin-sign", {"validity": timedelta()}, "validity_days"),
        ("hix-tls", {"software_validity": timedelta(days=400)}, "software_validity_days"),
        ("clin-auth", {"ocsp_no_check": True}, "ocsp_no_check"),
        ("ocsp", {"status_pointers": True}, "status_pointers"),
        ("clin-auth", {"extended_key_usage_critical": True}, "extended_key_usage_critical"),
        ("tsa", {"private_key_usage": timedelta(days=6 * 365)}, "private_key_usage_days"),
        ("clin-sign", {"holder": HolderKind.AUTHORITY}, "key_usage"),
        ("clin-sign", {"version": 0}, "version"),
        ("clin-sign", {"renewal_window": timedelta(days=3 * 365)}, "renewal_days"),
        ("clin-sign", {"renewal_window": timedelta(days=-1)}, "renewal_days"),
        ("clin-sign", {"type_oid": "1.3.6.1.4.1.32473.7"}, "type"),
        ("clin-sign", {"keys": frozenset()}, "keys"),
        ("clin-sign", {"key_usage": frozenset({KeyUsage.NON_REPUDIATION, KeyUsage.CRL_SIGN})}, "key_usage"),
        ("tsa", {"extended_key_usage": (oids.EKU_TIME_STAMPING, oids.EKU_CLIENT_AUTH)}, "extended_key_usage"),
        ("tsa", {"extended_key_usage_critical": False}, "extended_key_usage_critical"),
        ("hix-tls", {"software_validity": timedelta()}, "software_validity_days"),
        ("hix-tls", {"renewal_window": timedelta(days=90)}, "renewal_days"),
        ("ocsp", {"activation": Activation.HOLDER}, "activation"),
    ],
)
def test_a_profile_that_contradicts_itself_cannot_be_made(name: str, changes: dict[str, Any], member: str) -> None:
    with pytest.raises(ProfileInvalid) as caught:
        replace(PILOT.get(name), **changes)
    assert caught.value.member == f"profiles.{name}.{member}"
    assert caught.value.code is ErrorCode.PROFILE_INVALID


def test_a_profile_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        PILOT.get("ocsp").validity = timedelta(days=999)  # type: ignore[misc]  # that is the point
