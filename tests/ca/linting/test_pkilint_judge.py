"""pkilint as a judge: clean on what we issue, loud on faults, and never clean because it broke down."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ca.config import RawAuthoritySettings, validate_settings
from ca.lint.findings import Severity
from ca.linting import pkilint_judge
from ca.linting.pkilint_judge import CRASHED, PKIX, PkilintJudge
from ca.profiles import CertificateProfile
from ca.tbs import build_twin
from pki import der
from tests.ca.conftest import Ceremony
from tests.ca.mutants import Mutant, content_of
from tests.ca.world import FILE_PROFILES, SETTINGS, World

JUDGE = PkilintJudge()


def profile(name: str) -> CertificateProfile:
    return SETTINGS.profiles.get(name)


@pytest.mark.parametrize("name", FILE_PROFILES)
def test_what_we_issue_has_nothing_above_notice(name: str, world: World) -> None:
    found = JUDGE.judge(world.issue(name).der, profile(name).linters)
    assert all(finding.severity <= Severity.NOTICE for finding in found), found


def test_a_fault_is_found_by_its_rule_and_place_without_the_holders_words(ceremony: Ceremony) -> None:
    mutant = Mutant("clin-sign", ceremony.hierarchy)
    mutant.criticality("2.5.29.15", critical=False)
    mutant.extension("2.5.29.35", None)
    tbs = der.sequence(*mutant.fields)
    twin = der.sequence(tbs, der.parse(tbs).sequence()[2].raw, der.bit_string(b"x"))
    found = JUDGE.judge(twin, (PKIX,))
    assert max(finding.severity for finding in found) >= Severity.ERROR
    assert all(finding.code.startswith("pkilint.") and finding.detail.startswith("certificate") for finding in found)
    assert "0000012343" not in str(found)
    assert "رضایی" not in str(found)


@pytest.mark.parametrize("junk", [b"", b"\x30\x80", b"\x30\x03\x02\x01\x01", b"not a certificate" * 100])
def test_what_it_cannot_read_is_an_error(junk: bytes) -> None:
    found = JUDGE.judge(junk, (PKIX,))
    assert found
    assert all(f.severity >= Severity.ERROR for f in found)


@pytest.mark.parametrize(("pilot", "severity"), [(True, Severity.NOTICE), (False, Severity.ERROR)])
def test_a_pilot_may_lie_under_a_name_that_is_not_public(pilot: bool, severity: Severity, ceremony: Ceremony) -> None:
    local = validate_settings(RawAuthoritySettings(public_url="http://127.0.0.1:8440", organization="مهر آزمایشی"))
    twin = build_twin(content_of("clin-sign", ceremony.hierarchy, local), local)
    found = PkilintJudge(pilot=pilot).judge(twin.der, profile("clin-sign").linters)
    named = {f.severity for f in found if f.code == "pkilint.etsi.internal_domain_name"}
    assert named == {severity}


def test_a_rule_set_that_is_not_there_is_an_error(world: World) -> None:
    found = JUDGE.judge(world.issue().der, (PKIX, "NO_SUCH_TYPE"))
    assert [f.code for f in found if f.severity is Severity.ERROR] == [CRASHED]


def test_a_linter_that_breaks_down_is_never_clean(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    def broken(linter: str) -> object:
        raise RecursionError(linter)

    monkeypatch.setattr(pkilint_judge, "_rules", broken)
    found = JUDGE.judge(world.issue().der, ())
    assert [(f.code, f.severity, f.detail) for f in found] == [(CRASHED, Severity.ERROR, "pkix: RecursionError")]


def test_pkilints_own_word_for_a_breakdown_is_ours(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    from pkilint.pkix.certificate.certificate_validity import CertificateSaneValidityPeriodValidator as Rule

    def validate(self: object, node: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Rule, "validate", validate)
    found = JUDGE.judge(world.issue().der, (PKIX,))
    assert (CRASHED, Severity.FATAL) in [(f.code, f.severity) for f in found]


def test_a_server_never_imports_it() -> None:
    program = (
        "import sys; import ca.linting.pkilint_judge as j; import webapp.wsgi, webapp.exchange; "
        "print(j.PkilintJudge().version, any(n.split('.')[0] == 'pkilint' for n in sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.split()[1] == "False"
