"""The tree of checks: every finding has its place, nothing that was not reached is called passed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from signer.formats.cades import sign_cades
from signer.formats.jades import add_signature_timestamp, sign_jades
from signer.validation.policy import DEFAULT, HEALTH_CLUSTER
from signer.validation.reasons import Reason
from signer.validation.report import ReportedFile
from signer.validation.report_blocks import BLOCKS, Block, Level
from signer.validation.report_checks import (
    Outcome,
    file_checks,
    home,
    in_order,
    signature_checks,
    timestamp_checks,
)
from signer.validation.report_constraints import CONSTRAINTS
from signer.validation.report_json import report_json
from signer.validation.verdict import FileVerdict, Finding, Indication, note
from signer.validation.verify import verify_bytes
from tests.signer.validation.test_rows_time import BEFORE, revoked
from tests.support.zoo import SIGNED_AT, Zoo

FILE = ReportedFile(name="rx.json", size=1, sha256="00" * 32)


def outcomes(verdict: FileVerdict) -> dict[str, list[Outcome]]:
    """Tell how each constraint of the first signature ended, once for each certificate."""
    found: dict[str, list[Outcome]] = {}
    for group in signature_checks(verdict.signatures[0], verdict):
        for check in group.checks:
            found.setdefault(check.constraint.name, []).append(check.outcome)
    return found


def test_every_reason_has_one_home_and_every_constraint_its_texts() -> None:
    for reason in Reason:
        for about in ("", "certificate 01"):
            assert reason in home(note(reason, about=about)).reasons
        homes = [one for one in CONSTRAINTS if reason in one.reasons]
        assert len(homes) == (2 if reason is Reason.ALGORITHM_WEAK else 1), reason
    *_, rest = CONSTRAINTS
    assert rest.reasons == (), "say which constraint they belong to"
    assert len({one.name for one in CONSTRAINTS}) == len(CONSTRAINTS)
    assert {one.block for one in CONSTRAINTS} == set(Block) == set(BLOCKS)
    assert all(one.asks.fa and one.asks.en and one.level(DEFAULT) in Level for one in CONSTRAINTS)


def test_a_good_signature_passes_every_block(zoo: Zoo, jades: bytes) -> None:
    verdict = verify_bytes(add_signature_timestamp(jades, zoo.stamper(SIGNED_AT)), zoo.context())
    groups = signature_checks(verdict.signatures[0], verdict)
    assert [group.name for group in groups[:-1]] == list(BLOCKS)
    assert {group.indication for group in groups} == {Indication.PASSED}
    stamp = groups[-1]
    assert stamp.name == verdict.signatures[0].timestamps[0].id
    ended = {check.outcome for check in in_order((stamp,)) if check.constraint.name != "trust-current"}
    assert ended == {Outcome.PASSED}
    found = outcomes(verdict)
    assert found["certificate-not-revoked"] == [Outcome.PASSED] * 2
    assert found["time-proven"] == [Outcome.PASSED]
    assert found["profession-admitted"] == [Outcome.NOT_ASKED]
    asked = replace(verdict, policy=HEALTH_CLUSTER)
    assert outcomes(asked)["profession-admitted"] == [Outcome.PASSED]


Case = Callable[[Zoo], FileVerdict]


def changed(zoo: Zoo) -> FileVerdict:
    data = sign_cades(b"as signed", zoo.clinician.key, zoo.clinician.chain, signed_at=SIGNED_AT, detached=False)
    return verify_bytes(data.replace(b"as signed", b"as forged"), zoo.context())


def _good(zoo: Zoo) -> bytes:
    return sign_jades(b"{}", zoo.clinician.key, zoo.clinician.chain, signed_at=SIGNED_AT)


CASES: dict[str, tuple[Case, dict[str, Outcome]]] = {
    "changed content": (
        changed,
        {"content-intact": Outcome.FAILED, "signature-value": Outcome.PASSED, "path-found": Outcome.PASSED},
    ),
    "no anchor": (
        lambda zoo: verify_bytes(_good(zoo), zoo.context(anchors=())),
        {
            "anchors-given": Outcome.INDETERMINATE,
            "path-found": Outcome.NOT_REACHED,
            "certificate-not-revoked": Outcome.NOT_REACHED,
            "signature-value": Outcome.PASSED,
        },
    ),
    "no status": (
        lambda zoo: verify_bytes(_good(zoo), zoo.context(status_sources=())),
        {
            "certificate-status-known": Outcome.INDETERMINATE,
            "certificate-not-revoked": Outcome.NOT_REACHED,
            "status-fresh": Outcome.NOT_REACHED,
        },
    ),
    "revoked": (
        lambda zoo: verify_bytes(_good(zoo), revoked(zoo, BEFORE)),
        {"certificate-not-revoked": Outcome.INDETERMINATE, "certificate-status-known": Outcome.PASSED},
    ),
    "forged value": (
        lambda zoo: verify_bytes(_good(zoo).replace(b'"payload":"e30"', b'"payload":"W10"'), zoo.context()),
        {"signature-value": Outcome.FAILED, "content-intact": Outcome.NOT_REACHED},
    ),
    "unreadable": (
        lambda zoo: verify_bytes(b'{"payload":"e30","signatures":[{"signature":"!","protected":"!"}]}', zoo.context()),
        {"well-formed": Outcome.FAILED, "signing-certificate-found": Outcome.NOT_REACHED},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_check_tells_how_far_it_came(zoo: Zoo, name: str) -> None:
    make, expected = CASES[name]
    verdict = make(zoo)
    if not verdict.signatures:
        found = {check.constraint.name: [check.outcome] for check in in_order(file_checks(verdict))}
        expected = {key: value for key, value in expected.items() if key in found}
        assert expected
    else:
        found = outcomes(verdict)
    assert {name: found[name][0] for name in expected} == expected


def test_every_finding_is_in_the_tree_under_a_block_that_concludes_so(zoo: Zoo) -> None:
    for make, _ in CASES.values():
        verdict = make(zoo)
        for signature in verdict.signatures:
            groups = signature_checks(signature, verdict)
            in_tree = [finding for group in groups for check in group.checks for finding in check.findings]
            assert sorted(in_tree, key=repr) == sorted(signature.findings, key=repr)
            assert signature.indication in {group.indication for group in groups}


def test_a_finding_of_any_reason_is_told_once_for_signatures_time_stamps_and_files(zoo: Zoo, jades: bytes) -> None:
    verdict = verify_bytes(add_signature_timestamp(jades, zoo.stamper(SIGNED_AT)), zoo.context())
    (signature,) = verdict.signatures
    for reason in Reason:
        for about in ("", f"certificate {signature.chain[1].serial_hex}", "certificate of somebody else"):
            finding = Finding(reason=reason, indication=Indication.FAILED, about=about)
            trees = (
                signature_checks(replace(signature, timestamps=(), findings=(finding,)), verdict),
                (timestamp_checks(replace(signature.timestamps[0], findings=(finding,)), DEFAULT),),
                file_checks(replace(verdict, findings=(finding,))),
            )
            for tree in trees:
                assert [found for check in in_order(tree) for found in check.findings] == [finding]


def test_the_report_for_programs_holds_the_line_and_the_tree(zoo: Zoo, jades: bytes) -> None:
    verdict = verify_bytes(jades, zoo.context())
    report = report_json(verdict, FILE)
    assert report == report_json(verdict, FILE)
    told = json.loads(report)
    assert (told["sha256"], told["bytes"], told["indication"]) == (FILE.sha256, 1, "TOTAL-PASSED")
    (signature,) = told["signatures"]
    assert signature["process"] == "Basic"
    block = signature["checks"][0]
    assert (block["block"], block["clause"], block["indication"]) == ("format-checking", "5.2.2", "PASSED")
    constraint = block["constraints"][0]
    assert constraint.keys() == {
        "constraint", "text_fa", "text_en", "level", "outcome", "certificate", "evidence", "reasons"
    }  # fmt: skip
    assert constraint["outcome"] == "passed"


@pytest.mark.parametrize("data", [b"", b"nothing signed", b"%PDF-1.7"])
def test_a_file_without_signatures_has_checks_that_do_not_pass(zoo: Zoo, data: bytes) -> None:
    (group,) = file_checks(verify_bytes(data, zoo.context()))
    assert group.indication is not Indication.PASSED
