"""The linter beside a server: the same verdicts as here, and never a clean one from a process that broke down."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ca.lint.findings import Severity
from ca.linting.pkilint_judge import CRASHED, PkilintJudge
from pki.errors import ErrorCode, Unavailable
from tests.support.pki import make_root
from webapp import judging
from webapp.api import issuing, renewals
from webapp.exchange_server import AT_WORK
from webapp.judging import JudgeProcess

pytestmark = pytest.mark.real


@pytest.fixture
def judge() -> Iterator[JudgeProcess]:
    made = JudgeProcess(pilot=True)
    yield made
    made.close()


def test_it_judges_as_the_linter_does(judge: JudgeProcess) -> None:
    der = make_root("Root").certificate.der
    here = PkilintJudge(pilot=True)
    assert (judge.name, judge.version) == (here.name, here.version)
    for linters in ((), ("NCP_NATURAL_PERSON_CERTIFICATE",), ("no such type",)):
        assert judge.judge(der, linters) == here.judge(der, linters)


def test_octets_that_are_no_certificate_are_a_finding_and_the_process_goes_on(judge: JudgeProcess) -> None:
    assert judge.judge(b"\x30\x00", ())[0].severity >= Severity.ERROR
    process = judge._process
    assert judge.judge(b"\x30\x00", ())
    assert judge._process is process


def test_a_process_that_is_gone_is_started_again(judge: JudgeProcess) -> None:
    judge.judge(b"\x30\x00", ())
    first = judge._process
    assert first is not None
    first.kill()
    first.wait()
    assert judge.judge(make_root("Root").certificate.der, ()) is not None
    assert judge._process is not first


def test_a_process_that_does_not_answer_is_a_finding(judge: JudgeProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "PATIENCE_SECONDS", 0.2)
    judge._command = ["sleep", "60"]
    (finding,) = judge.judge(b"", ())
    assert (finding.code, finding.severity) == (CRASHED, Severity.ERROR)
    assert judge._process is None


def test_where_too_many_wait_for_the_process_an_order_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(judging, "WAITING", 0)
    with pytest.raises(Unavailable) as error:
        JudgeProcess(pilot=True).judge(b"", ())
    assert error.value.code is ErrorCode.OVERLOADED


def test_orders_renewals_and_batches_leave_the_listener_threads_for_others() -> None:
    assert issuing.WAITING + issuing.BATCHES + renewals.RENEWING < AT_WORK
    assert judging.WAITING < issuing.WAITING
