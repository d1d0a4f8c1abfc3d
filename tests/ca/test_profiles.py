from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from datetime import timedelta
from typing import Any

import pytest

from ca.errors import ProfileUnknown
from ca.key_policy import KeyKind
from ca.profiles import PROFILES, HolderKind, KeyUsage, ProfileName, profile_named
from pki import oids
from pki.errors import ErrorCode

EVERY = list(PROFILES.values())


def test_every_name_has_its_profile() -> None:
    assert set(PROFILES) == set(ProfileName)
    assert all(profile_named(name.value).name is name for name in ProfileName)


def test_an_unknown_name_is_refused_by_its_code() -> None:
    with pytest.raises(ProfileUnknown) as caught:
        profile_named("clin-encrypt")
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
    assert profile_named("hix-tls").lifetime(hardware=False) == timedelta(days=90)
    assert profile_named("hix-tls").lifetime(hardware=True) == timedelta(days=365)
    assert profile_named("clin-sign").lifetime(hardware=True) == timedelta(days=3 * 365)
    assert profile_named("ocsp").lifetime(hardware=True) == timedelta(days=30)
    assert profile_named("tsa").private_key_usage == timedelta(days=365)


def test_time_stamping_alone_has_a_critical_purpose() -> None:
    assert [p.name for p in EVERY if p.extended_key_usage_critical] == ["tsa"]
    assert profile_named("tsa").extended_key_usage == (oids.EKU_TIME_STAMPING,)


def test_clinicians_and_centres_carry_admission_and_citizens_do_not() -> None:
    with_admission = {profile.name for profile in EVERY if profile.admission}
    assert with_admission == {"clin-sign", "clin-auth", "hix-tls", "hix-seal"}


def test_only_the_deployments_own_certificates_need_no_file() -> None:
    own = {profile.name for profile in EVERY if not profile.needs_file}
    assert own == {"root", "issuing-ca", "ocsp", "tsa", "seal"}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("clin-sign", {"key_usage": frozenset()}),
        ("clin-sign", {"key_usage": frozenset({KeyUsage.NON_REPUDIATION, KeyUsage.DIGITAL_SIGNATURE})}),
        ("clin-sign", {"key_usage": frozenset({KeyUsage.KEY_CERT_SIGN})}),
        ("issuing-ca", {"key_usage": frozenset({KeyUsage.DIGITAL_SIGNATURE})}),
        ("issuing-ca", {"type_number": (9, 9)}),
        ("clin-sign", {"type_number": None}),
        ("clin-sign", {"path_length": 0}),
        ("clin-sign", {"validity": timedelta()}),
        ("hix-tls", {"software_validity": timedelta(days=400)}),
        ("clin-auth", {"ocsp_no_check": True}),
        ("ocsp", {"status_pointers": True}),
        ("clin-auth", {"extended_key_usage_critical": True}),
        ("tsa", {"private_key_usage": timedelta(days=6 * 365)}),
        ("clin-sign", {"holder": HolderKind.AUTHORITY}),
    ],
)
def test_a_profile_that_contradicts_itself_cannot_be_made(name: str, changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"profile {name}"):
        replace(profile_named(name), **changes)


def test_a_profile_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        profile_named("ocsp").validity = timedelta(days=999)  # type: ignore[misc]  # that is the point
