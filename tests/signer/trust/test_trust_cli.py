"""`mohr trust` and `mohr verify --trust`: what people type, and what a verdict says of the bundle behind it."""

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from pki.errors import ErrorCode, InvalidInput, ServiceError
from signer.formats.jades import sign_jades
from signer.samples import sample_prescription
from signer.trust.bundle import BundleAnchor, TrustBundle
from signer.trust.plan import of_deployment, read_plan, with_lists
from signer.trust.signing import sign_bundle
from signer.trust_cli import check, keep, show
from signer.verify_cli import verify
from tests.support.pki import NOW, Holder
from tests.support.programs import REPOSITORY
from tests.support.zoo import SIGNED_AT, Zoo, make_zoo

TODAY = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(scope="module")
def zoo() -> Zoo:
    return make_zoo()


@pytest.fixture(scope="module")
def seal(zoo: Zoo) -> Holder:
    return zoo.intermediate.issue("Seal")


def bundle(zoo: Zoo, **changes: Any) -> TrustBundle:
    whole = TrustBundle(
        name="pilot",
        sequence=7,
        issued=TODAY - timedelta(days=2),
        next_update=TODAY + timedelta(days=28),
        anchors=(BundleAnchor(certificate=zoo.root.certificate),),
        intermediates=(zoo.intermediate.certificate,),
        clusters={"health": frozenset((zoo.intermediate.certificate.spki_sha256.hex(),))},
        crls=(zoo.root.crl(), zoo.intermediate.crl()),
    )
    return replace(whole, **changes)


@pytest.fixture
def files(tmp_path: Path, zoo: Zoo, seal: Holder) -> Path:
    holder = zoo.clinician
    signed = sign_jades(sample_prescription(), holder.key, (holder.certificate,), signed_at=SIGNED_AT)
    (tmp_path / "rx.json").write_bytes(signed)
    (tmp_path / "seal.pem").write_text(seal.pem)
    (tmp_path / "root.pem").write_text(zoo.root.pem)
    for number in (6, 7, 8):
        made = sign_bundle(bundle(zoo, sequence=number), seal.key, seal.chain)
        (tmp_path / f"{number}.trust").write_bytes(made)
    old = bundle(zoo, issued=TODAY - timedelta(days=60), next_update=TODAY - timedelta(days=30))
    (tmp_path / "old.trust").write_bytes(sign_bundle(old, seal.key, seal.chain))
    return tmp_path


def run(command: click.Command, *arguments: str | Path) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def code(result: Result) -> ErrorCode:
    assert isinstance(result.exception, ServiceError), result.output
    return result.exception.code


def judged(*arguments: str | Path) -> tuple[Result, dict[str, Any]]:
    result = run(verify, *arguments, "--json", "--offline")
    return result, json.loads(result.stdout)


AT = ("--at", "2026-11-22T09:00:00Z")


def test_a_verdict_rests_on_a_bundle_and_tells_its_age(files: Path) -> None:
    trusted = ("--trust", files / "7.trust", "--trust-signer", files / "seal.pem")
    for policy in ("default", "health-cluster"):
        result, line = judged(files / "rx.json", *trusted, *AT, "--policy", policy)
        assert (result.exit_code, line["indication"]) == (0, "TOTAL-PASSED")
    assert (line["trust"]["bundle"], line["trust"]["sequence"], line["trust"]["outdated"]) == ("pilot", 7, False)
    later = (TODAY + timedelta(days=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
    _, line = judged(files / "rx.json", *trusted, "--at", later)
    assert line["trust"]["age_seconds"] == 5 * 86400
    text = run(verify, files / "rx.json", *trusted, "--at", later, "--offline", "--report", files / "out.html").stdout
    assert "trust pilot 7" in text
    assert "5 d" in text
    page = (files / "out.html").read_text(encoding="utf-8")
    assert "pilot 7" in page
    assert "5 days old" in page


def test_an_outdated_bundle_is_told_everywhere(files: Path) -> None:
    trusted = ("--trust", files / "old.trust", "--trust-signer", files / "seal.pem", "--at", TODAY.isoformat())
    result, line = judged(files / "rx.json", *trusted, "--policy", "health-cluster")
    assert (result.exit_code, line["trust"]["outdated"], line["signatures"][0]["care"]) == (2, True, "deferred")
    assert "outdated" in run(verify, files / "rx.json", *trusted, "--offline").stdout


def test_a_bundle_that_nobody_vouches_for_is_not_used(files: Path) -> None:
    for extra in ((), ("--trust-signer", files / "root.pem")):
        result = run(verify, files / "rx.json", "--trust", files / "7.trust", *extra, "--offline")
        assert result.exit_code == 1
        assert "trust-refused" in result.stderr
        assert not result.stdout
    (files / "torn").write_bytes((files / "7.trust").read_bytes()[:-9])
    result = run(verify, files / "rx.json", "--trust", files / "torn", "--trust-signer", files / "seal.pem")
    assert "trust-refused" in result.stderr


def test_a_bundle_is_kept_and_only_later_ones_take_its_place(files: Path) -> None:
    kept = files / "kept"
    assert code(run(keep, files / "7.trust", "-o", kept)) is ErrorCode.TRUST_REFUSED
    assert run(keep, files / "7.trust", "--signer", files / "seal.pem", "-o", kept).exit_code == 0
    first = kept.read_bytes()
    assert run(keep, files / "7.trust", "-o", kept).exit_code == 0
    assert code(run(keep, files / "6.trust", "-o", kept)) is ErrorCode.TRUST_ROLLBACK
    assert kept.read_bytes() == first
    assert run(keep, files / "8.trust", "-o", kept).exit_code == 0
    result, line = judged(files / "rx.json", "--trust", kept, *AT)
    assert (result.exit_code, line["trust"]["sequence"]) == (0, 8)


def test_checking_says_whether_a_bundle_is_current(files: Path) -> None:
    by = ("--signer", files / "seal.pem")
    assert run(check, files / "7.trust", *by).exit_code == 0
    assert run(check, files / "old.trust", *by).exit_code == 2
    assert code(run(check, files / "7.trust")) is ErrorCode.TRUST_REFUSED
    assert code(run(check, files / "rx.json", *by)) is ErrorCode.TRUST_REFUSED
    said = json.loads(run(show, files / "7.trust", "--json").stdout)
    assert (said["sequence"], said["age_days"], said["crls"]) == (7, 2, 2)
    assert "cluster health: " in run(show, files / "7.trust").stdout


def test_issuers_complete_a_path_and_are_trusted_for_nothing(files: Path, zoo: Zoo) -> None:
    (files / "issuers.pem").write_text(zoo.root.pem + zoo.intermediate.pem)
    issuers = ("--issuers", files / "issuers.pem")
    _, line = judged(files / "rx.json", "--anchor", files / "root.pem", *issuers, *AT)
    assert line["sub_indication"] == "TRY_LATER"
    for trusted in ((), ("--anchor", files / "seal.pem")):
        _, line = judged(files / "rx.json", *trusted, *issuers, *AT)
        assert line["sub_indication"] == "NO_CERTIFICATE_CHAIN_FOUND"
    (files / "issuers.pem").write_text(zoo.intermediate.pem * 513)
    assert "input-too-large" in run(verify, files / "rx.json", *issuers).stderr


def test_a_result_file_goes_on_with_the_same_bundle_alone(files: Path) -> None:
    signer = ("--trust-signer", files / "seal.pem", "--offline", "--results", files / "out.jsonl")
    assert run(verify, files / "rx.json", "--trust", files / "7.trust", *signer).exit_code in (0, 2)
    result = run(verify, files / "rx.json", "--trust", files / "8.trust", *signer)
    assert "another run" in result.stderr


def test_the_mark_of_a_run_is_the_same_in_every_process() -> None:
    code = (
        "import signer.verify_cli as v; from signer.validation.policy import HEALTH_CLUSTER as p; print(v._stable(p))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=REPOSITORY,
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1
    assert "midwife" in said.pop()


# Plans


PLAN = """
name = "pilot"
days = 10
intermediates = ["issuers.pem"]
signers = ["seal.pem"]
crls = ["root.crl"]
[clusters]
health = ["issuers.pem"]
[[anchors]]
file = "root.pem"
purposes = ["documents"]
policies = ["1.3.6.1.4.1.32473.1.2"]
"""


def test_a_plan_names_files_beside_it(files: Path, zoo: Zoo, seal: Holder) -> None:
    (files / "issuers.pem").write_text(zoo.intermediate.pem)
    (files / "root.crl").write_bytes(zoo.root.crl())
    (files / "plan.toml").write_text(PLAN)
    made = read_plan(files / "plan.toml", sequence=3, issued=NOW)
    assert (made.name, made.sequence, made.next_update - made.issued) == ("pilot", 3, timedelta(days=10))
    assert made.signers == {seal.certificate.spki_sha256.hex()}
    assert made.clusters["health"] == {zoo.intermediate.certificate.spki_sha256.hex()}
    assert [str(purpose) for purpose in made.anchors[0].limits.purposes] == ["documents"]
    assert sign_bundle(made, seal.key, seal.chain)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("days = 10", "days = 0"),
        ("days = 10", "hours = 1"),
        ('file = "root.pem"', 'file = "missing.pem"'),
        ('file = "root.pem"', 'path = "root.pem"'),
        ('["documents"]', '["tls"]'),
        ('health = ["issuers.pem"]', "health = 1"),
        ('name = "pilot"', "name = 1"),
        ("[clusters]", "[clusters"),
    ],
)
def test_a_wrong_plan_is_refused(files: Path, zoo: Zoo, old: str, new: str) -> None:
    (files / "issuers.pem").write_text(zoo.intermediate.pem)
    (files / "root.crl").write_bytes(zoo.root.crl())
    (files / "plan.toml").write_text(PLAN.replace(old, new, 1))
    with pytest.raises(InvalidInput):
        read_plan(files / "plan.toml", sequence=3, issued=NOW)


def test_a_deployment_says_of_itself_what_it_publishes(files: Path, zoo: Zoo) -> None:
    public = files / "home" / "public"
    for folder in ("ca", "crl/persons"):
        (public / folder).mkdir(parents=True)
    (public / "root.pem").write_text(zoo.root.pem)
    for name, holder in {"persons": zoo.intermediate, "root": zoo.root, "tsa": zoo.tsa}.items():
        (public / "ca" / f"{name}.cer").write_bytes(holder.certificate.der)
    (public / "crl" / "persons" / "0.crl").write_bytes(zoo.intermediate.crl())
    made = with_lists(of_deployment(files / "home", sequence=1, issued=NOW), files / "home")
    assert [anchor.certificate for anchor in made.anchors] == [zoo.root.certificate]
    assert made.clusters["health"] == {zoo.intermediate.certificate.spki_sha256.hex()}
    assert made.intermediates == (zoo.intermediate.certificate,)
    assert len(made.crls) == 1
