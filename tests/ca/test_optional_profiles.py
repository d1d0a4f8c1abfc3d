"""What a deployer may switch on: encryption of centres, titles, units, purposes, qualified certificates' linter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from ca.config import AuthoritySettings, validate_settings
from ca.hierarchy import Hierarchy
from ca.lint.findings import Severity
from ca.lint.gate import check_twin
from ca.linting.pkilint_judge import PkilintJudge
from ca.tbs import build_twin
from pki import oids
from pki.certificates import Certificate
from pki.errors import InvalidInput
from pki.keys import PublicKey
from tests.ca import linters
from tests.ca.conftest import Ceremony
from tests.ca.mutants import content_of
from tests.ca.profile_documents import with_change
from tests.ca.world import CENTRE, RAW_SETTINGS

QUALIFIED = ["semantics", "compliance", "legislation", "sscd", "type"]
QCP = "QCP_N_QSCD_NON_EIDAS_FINAL_CERTIFICATE"


@pytest.fixture
def hierarchy(ceremony: Ceremony) -> Hierarchy:
    return ceremony.hierarchy


def settings_with(profile: str, **changes: Any) -> AuthoritySettings:
    return validate_settings(replace(RAW_SETTINGS, profiles=with_change(profile, version=2, **changes)))


def built(profile: str, hierarchy: Hierarchy, key: PublicKey | None = None, **changes: Any) -> Certificate:
    """Build a certificate of a changed profile that our own rules take."""
    members = changes.pop("members", None)
    settings = settings_with(profile, **changes)
    content = content_of(profile, hierarchy, settings, key=key, members=members)
    twin = build_twin(content, settings)
    assert check_twin(twin.der, content, settings) == ()
    assert linters.lint_certificate(twin.der) == []
    return Certificate.parse(twin.der)


def test_an_encryption_key_does_what_its_kind_can(hierarchy: Hierarchy) -> None:
    by_curve = built("hix-enc", hierarchy)
    by_rsa = built("hix-enc", hierarchy, rsa.generate_private_key(65537, 3072).public_key())
    assert (by_curve.key_usage, by_rsa.key_usage) == (frozenset({"keyAgreement"}), frozenset({"keyEncipherment"}))
    for certificate in (by_curve, by_rsa):
        assert certificate.extended_key_usage is None
        assert linters.lint_etsi(certificate.der, linters.CENTRE) == []
    assert by_curve.admission == by_rsa.admission


def test_a_title_is_the_profession(hierarchy: Hierarchy) -> None:
    titled = built("clin-sign", hierarchy, title=True)
    assert "پزشک".encode() in titled.subject_der
    assert "title=پزشک" in titled.subject
    assert linters.lint_etsi(titled.der, linters.PERSON) == []
    assert "title=" not in built("clin-sign", hierarchy).subject


@pytest.mark.parametrize(("unit", "said"), [("بخش آزمایشگاه", True), (None, False)])
def test_a_unit_is_what_the_file_says_where_the_profile_shows_it(
    hierarchy: Hierarchy, unit: str | None, said: bool
) -> None:
    members = CENTRE if unit is None else {**CENTRE, "unit": unit}
    shown = built("hix-seal", hierarchy, organizational_unit=True, members=members)
    assert ("OU=" in shown.subject) is said
    assert "OU=" not in built("hix-seal", hierarchy, members=members).subject
    assert linters.lint_etsi(shown.der, linters.CENTRE) == []


def test_documents_are_a_purpose_of_signatures(hierarchy: Hierarchy) -> None:
    certificate = built("clin-sign", hierarchy, extended_key_usage=["documentSigning"])
    assert certificate.extended_key_usage == (oids.EKU_DOCUMENT_SIGNING,)


def test_a_smart_card_logs_on_where_the_authority_allows_it(hierarchy: Hierarchy) -> None:
    data = with_change("clin-auth", version=2, extended_key_usage=["clientAuth", "smartcardLogon"])
    with pytest.raises(InvalidInput):
        validate_settings(replace(RAW_SETTINGS, profiles=data))
    allowed = data + b'\n[authorities]\npersons = ["clientAuth", "smartcardLogon", "OCSPSigning"]\n'
    settings = validate_settings(replace(RAW_SETTINGS, profiles=allowed))
    assert settings.profiles.get("clin-auth").extended_key_usage == (oids.EKU_CLIENT_AUTH, oids.EKU_SMARTCARD_LOGON)


def test_a_qualified_certificate_is_judged_as_one(hierarchy: Hierarchy) -> None:
    changes: dict[str, Any] = {"qc_statements": QUALIFIED, "linters": ["pkix", QCP]}
    certificate = built("clin-sign", hierarchy, **changes)
    linters_of_profile = settings_with("clin-sign", **changes).profiles.get("clin-sign").linters
    assert linters_of_profile == ("pkix", QCP)
    found = PkilintJudge().judge(certificate.der, linters_of_profile)
    # QCP-n-qscd's own policy identifier is recommended (EN 319 412-2 §5.2); ours has the deployment's type instead.
    recommended = "pkilint.etsi.en_319_412_2.qcs-5.2-1.recommended_certificate_type_policy_identifier_missing"
    assert {f.code: f.severity for f in found if f.severity > Severity.NOTICE} == {recommended: Severity.WARNING}
