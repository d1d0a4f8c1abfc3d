"""What follows from an independent linter's verdicts: states, holds, alarms, and what stays untouched."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select, update

from ca.errors import FourEyesRequired, IllegalTransition, LintFailed
from ca.lint import gate
from ca.lint.findings import Finding, Rule, Severity
from ca.linting.desk import check_activation
from ca.linting.verdicts import LintState
from ca.status.revocation import CertificateState, RevocationReason
from ca.tables import certificates
from pki.audit import AuditAction
from pki.errors import Conflict, ErrorCode, InvalidInput, NotFound
from storage.ledger_tables import audit_events
from tests.ca.linting.judges import SpokenJudge, desk_of, finding, settle
from tests.ca.world import CLERK, FIRST, SECOND, World, new_csr

FATAL, ERROR, WARNING, NOTICE = (finding(s) for s in sorted(Severity, reverse=True))


@pytest.fixture
def settled(world: World) -> World:
    settle(world)
    return world


def actions(world: World, serial: str) -> list[str]:
    with world.database.read() as connection:
        rows = connection.execute(
            select(audit_events.c.action).where(audit_events.c.subject == serial).order_by(audit_events.c.id)
        )
        return [action for action in rows.scalars() if "lint" in action]


def refusal_of_activation(world: World, serial: str) -> str:
    try:
        with world.database.begin() as unit:
            check_activation(unit.connection, [serial])
    except Conflict as error:
        assert error.code is ErrorCode.LINT_HOLD
        return error.reason
    return ""


@pytest.mark.parametrize(
    ("words", "state"),
    [
        ((), LintState.CLEAN),
        ((NOTICE,), LintState.NOTED),
        ((WARNING, NOTICE), LintState.NOTED),
        ((NOTICE, ERROR), LintState.FAILED),
        ((FATAL,), LintState.FAILED),
    ],
)
def test_the_worst_finding_decides_and_all_are_kept(
    words: tuple[Finding, ...], state: LintState, settled: World
) -> None:
    serial = settled.issue_waiting().serial_hex
    verdict = desk_of(settled, SpokenJudge(words=words)).verdict_of(serial)
    assert verdict.state is state
    assert [j.findings for j in verdict.judgements] == [words]


def test_a_judge_is_told_what_the_profile_names(settled: World) -> None:
    judge = SpokenJudge()
    settled.issue_waiting("hix-tls")
    assert desk_of(settled, judge).sweep(10) == 1
    assert judge.asked[0][1] == ("pkix", "NCP_LEGAL_PERSON_CERTIFICATE")


def test_certificates_are_judged_in_the_order_of_issue_and_once(settled: World) -> None:
    issued = [settled.issue_waiting() for _ in range(5)]
    judge = SpokenJudge()
    desk = desk_of(settled, judge)
    assert desk.backlog().waiting == 5
    assert desk.backlog().oldest == settled.clock.now()
    assert [desk.sweep(2) for _ in range(3)] == [2, 2, 1]
    assert [der for der, _ in judge.asked] == [item.der for item in issued]
    desk.verdict_of(issued[0].serial_hex)
    assert len(judge.asked) == 5
    assert desk.backlog().waiting == 0


def test_an_intent_is_not_waited_for(settled: World) -> None:
    with settled.database.begin() as unit:
        unit.connection.execute(update(certificates).values(der=None, lint_state="pending"))
    assert desk_of(settled, SpokenJudge()).backlog().waiting == 0


def test_what_our_own_rules_remark_is_kept_beside_it(settled: World, monkeypatch: pytest.MonkeyPatch) -> None:
    remark: Rule[object] = Rule(code="house.a", clause="a", severity=Severity.NOTICE, check=lambda _: "seen")
    monkeypatch.setattr(gate, "RULES", (*gate.RULES, remark))
    serial = settled.issue_waiting().serial_hex
    own = desk_of(settled, None).verdict_of(serial)
    assert own.state is LintState.PENDING
    assert [(j.linter, [f.code for f in j.findings]) for j in own.judgements] == [("mohr", ["house.a"])]
    judged = desk_of(settled, SpokenJudge()).verdict_of(serial)
    assert judged.state is LintState.CLEAN
    assert len(judged.judgements) == 2


def test_nothing_unjudged_is_activated(settled: World) -> None:
    serial = settled.issue_waiting().serial_hex
    assert refusal_of_activation(settled, serial) == "lint.pending"
    assert desk_of(settled, None).verdict_of(serial).holds  # a program without a judge cannot change that
    desk_of(settled, SpokenJudge(words=(WARNING,))).verdict_of(serial)
    assert refusal_of_activation(settled, serial) == ""


def test_an_error_holds_what_is_not_yet_activated_until_two_officers_release_it(settled: World) -> None:
    serial = settled.issue_waiting().serial_hex
    desk = desk_of(settled, SpokenJudge(words=(ERROR,)))
    assert desk.verdict_of(serial).holds
    assert refusal_of_activation(settled, serial) == "lint.failed"
    alarm = desk.alarms()[0]
    assert (alarm.serial_hex, alarm.holds, alarm.codes) == (serial, True, ("pkilint.a_rule",))
    assert desk.close_alarm(alarm.id, FIRST, "the linter is wrong").closed_at is None
    assert refusal_of_activation(settled, serial) == "lint.failed"
    with pytest.raises(FourEyesRequired):
        desk.close_alarm(alarm.id, FIRST, "I say so again")
    assert desk.close_alarm(alarm.id, SECOND, "I agree").closed_at is not None
    assert refusal_of_activation(settled, serial) == ""
    assert desk.alarms() == ()
    assert sorted(actions(settled, serial)) == [
        AuditAction.CERTIFICATE_LINT_HELD,
        AuditAction.CERTIFICATE_LINT_RELEASED,
        AuditAction.LINT_ALARM_CLOSED,
        AuditAction.LINT_ALARM_CLOSED,
    ]
    with pytest.raises(IllegalTransition):
        desk.close_alarm(alarm.id, SECOND, "once more")


def test_an_error_about_an_active_certificate_raises_an_alarm_and_nothing_else(settled: World) -> None:
    serial = settled.issue("hix-seal").serial_hex
    before = settled.authority.get(serial)
    desk = desk_of(settled, SpokenJudge(words=(FATAL,)))
    desk.sweep(10)
    (alarm,) = desk.alarms()
    assert (alarm.serial_hex, alarm.holds, alarm.severity) == (serial, False, Severity.FATAL)
    assert settled.authority.get(serial) == before
    for officer in (FIRST, SECOND):
        settled.clock.move(seconds=1)
        desk.close_alarm(alarm.id, officer, "looked at")
    assert settled.authority.get(serial) == before
    assert desk.verdict_of(serial).state is LintState.REVIEWED
    assert actions(settled, serial) == ["lint.alarm", "lint.alarm-closed", "lint.alarm-closed"]


def test_a_revoked_certificate_raises_no_alarm(settled: World) -> None:
    serial = settled.issue_waiting().serial_hex
    settled.authority.revoke(serial, RevocationReason.SUPERSEDED, CLERK)
    desk = desk_of(settled, SpokenJudge(words=(ERROR,)))
    assert desk.verdict_of(serial).state is LintState.FAILED
    assert desk.alarms() == ()


def test_a_newer_linter_judges_again_and_only_raises_alarms(settled: World) -> None:
    serial = settled.issue("hix-seal").serial_hex
    desk_of(settled, SpokenJudge(words=(NOTICE,))).sweep(10)
    newer = desk_of(settled, SpokenJudge(version="2.0", words=(ERROR,)))
    while newer.sweep(100):
        continue
    verdict = newer.verdict_of(serial)
    assert verdict.state is LintState.NOTED
    assert [j.version for j in verdict.judgements] == ["1.0", "2.0"]
    assert settled.authority.get(serial).state is CertificateState.GOOD
    assert refusal_of_activation(settled, serial) == ""
    assert serial in {alarm.serial_hex for alarm in newer.alarms(limit=500)}


def test_a_newer_linter_is_slow_and_comes_after_what_waits(settled: World) -> None:
    for _ in range(20):
        settled.issue_waiting()
    desk_of(settled, SpokenJudge()).sweep(100)
    waiting = settled.issue_waiting()
    judge = SpokenJudge(version="2.0")
    newer = desk_of(settled, judge)
    assert newer.sweep(16) == 1
    assert judge.asked[0][0] == waiting.der
    assert newer.sweep(16) == 2  # one part in eight
    assert newer.sweep(16) == 2
    assert len({der for der, _ in judge.asked}) == 5


def test_the_same_breach_raises_one_alarm_whatever_the_version(settled: World) -> None:
    serial = settled.issue_waiting().serial_hex
    other = finding(Severity.ERROR, "pkilint.another_rule")
    desk_of(settled, SpokenJudge(words=(ERROR,))).sweep(10)
    for version, words in (("2.0", (ERROR,)), ("3.0", (ERROR, other))):
        desk = desk_of(settled, SpokenJudge(version=version, words=words))
        settled.clock.move(seconds=1)
        while desk.sweep(100):
            continue
    raised = [alarm for alarm in desk.alarms(limit=500) if alarm.serial_hex == serial]
    assert [alarm.codes for alarm in raised] == [("pkilint.a_rule",), ("pkilint.another_rule",)]


def test_two_officers_at_once_close_an_alarm_once(settled: World) -> None:
    settled.issue_waiting()
    desk = desk_of(settled, SpokenJudge(words=(ERROR,)))
    desk.sweep(10)
    alarm = desk.alarms()[0]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda officer: desk.close_alarm(alarm.id, officer, "seen"), (FIRST, SECOND)))
    assert sorted(item.closed_at is None for item in found) == [False, True]


def test_two_linters_at_once_leave_one_verdict_and_one_alarm(settled: World) -> None:
    serial = settled.issue_waiting().serial_hex
    desks = [desk_of(settled, SpokenJudge(words=(ERROR,))) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda desk: desk.verdict_of(serial), desks))
    assert len(desks[0].verdict_of(serial).judgements) == 1
    assert len(desks[0].alarms()) == 1


def test_a_twin_that_breaks_rules_is_refused_before_it_is_signed(settled: World) -> None:
    issued = settled.issue_waiting()
    with pytest.raises(LintFailed, match=r"pkilint\.a_rule"):
        desk_of(settled, SpokenJudge(words=(ERROR,))).judge_before(issued.der, "clin-sign")
    assert desk_of(settled, SpokenJudge(words=(NOTICE,))).judge_before(issued.der, "clin-sign") == (NOTICE,)
    with pytest.raises(Conflict):
        desk_of(settled, None).judge_before(issued.der, "clin-sign")


@pytest.mark.parametrize("note", ["", " \n ", "x" * 501, "a\x07bell"])
def test_a_note_says_something_printable(note: str, settled: World) -> None:
    with pytest.raises(InvalidInput):
        desk_of(settled, None).close_alarm("any", FIRST, note)


def test_what_is_not_there_is_not_found(settled: World) -> None:
    desk = desk_of(settled, SpokenJudge())
    with pytest.raises(NotFound):
        desk.verdict_of("00")
    with pytest.raises(NotFound):
        desk.close_alarm("00", FIRST, "nothing")
    with pytest.raises(NotFound), settled.database.begin() as unit:
        check_activation(unit.connection, ["00"])
    assert desk_of(settled, None).sweep(10) == 0


def test_lint_first_refuses_before_any_key_is_used(settled: World) -> None:
    file = settled.approved()
    desk = desk_of(settled, SpokenJudge(words=(ERROR,)))
    before = len(settled.authority.certificates())
    with pytest.raises(LintFailed):
        settled.authority.issue("clin-sign", file.id, new_csr(), "clerk", lint_first=desk.judge_before)
    assert len(settled.authority.certificates()) == before
    content = desk_of(settled, SpokenJudge(words=(NOTICE,)))
    settled.authority.issue("clin-sign", file.id, new_csr(), "clerk", lint_first=content.judge_before)
    assert len(settled.authority.certificates()) == before + 1
