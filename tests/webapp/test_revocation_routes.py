"""The officers' routes of revocations that two decide, of everything of a holder, and of alarms about many changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from ca.officers.identity import Officer
from ca.profiles import IssuerName, ProfileName
from ca.records import CertificateRecord
from ca.status.acts.holders import HolderRevoked
from ca.status.acts.proposal_repository import ProposalState, RevocationProposal
from ca.status.acts.proposals import Decided
from ca.status.acts.watch import StatusAlarm
from ca.status.revocation import CertificateState, RevocationReason, Status
from pki.errors import ErrorCode, Unavailable
from pki.instants import format_instant
from tests.webapp.conftest import NOW, Client
from webapp.checks import alarms_part
from webapp.health import PartState

COMPROMISE = RevocationReason.KEY_COMPROMISE
SINCE = NOW - timedelta(days=3)
EVIDENCE = "e1" * 32
RECORD = CertificateRecord(
    serial_hex="aa",
    issuer=IssuerName("persons"),
    profile=ProfileName.CLIN_SIGN,
    profile_version=1,
    file_id="f1",
    holder="0000012343",
    name="n",
    status=Status(state=CertificateState.ON_HOLD, revoked_at=NOW, reason=RevocationReason.CERTIFICATE_HOLD),
    status_version=2,
    shard=0,
    unapproved=False,
    not_before=SINCE,
    not_after=NOW,
    requested_by="clerk",
    intended_at=SINCE,
    issued_at=SINCE,
    released_at=None,
    der=None,
)
PROPOSAL = RevocationProposal(
    id="0" * 20,
    serial="aa",
    reason=COMPROMISE,
    invalidity_date=SINCE,
    evidence=bytes.fromhex(EVIDENCE),
    proposed_by="clerk-parsa",
    proposed_at=NOW,
    state=ProposalState.PROPOSED,
)
ALARM = StatusAlarm(id="1" * 20, officer="officer-nikan", changes=20, since=SINCE, raised_at=NOW, closed_at=None)


@dataclass
class Desk:
    """Every desk of these routes; keeps what it was asked."""

    asked: list[tuple[Any, ...]] = field(default_factory=list)

    def propose(self, serial: str, reason: str, since: Any, evidence: str, officer: Officer) -> Decided:
        self.asked.append((serial, str(reason), since, evidence, officer.id))
        return Decided(proposal=PROPOSAL, record=RECORD, changed=(RECORD,))

    def approve(self, *words: Any) -> Decided:
        self.asked.append(words[:-1])
        return Decided(proposal=PROPOSAL, record=RECORD, changed=(RECORD,))

    def refuse(self, proposal_id: str, _officer: Officer, why: str) -> Decided:
        self.asked.append((proposal_id, why))
        return Decided(proposal=PROPOSAL, record=RECORD)

    def proposals_for(self, _officer: Officer) -> tuple[RevocationProposal, ...]:
        return (PROPOSAL,)

    def revoke_all(self, file_id: str, reason: str, _officer: Officer, *, whole_holder: bool) -> HolderRevoked:
        self.asked.append((file_id, str(reason), whole_holder))
        return HolderRevoked(file_id=file_id, revoked=(RECORD,), abandoned=("bb",))

    def alarms_for(self, _officer: Officer) -> tuple[StatusAlarm, ...]:
        return (ALARM,)

    def close(self, alarm_id: str, _officer: Officer, note: str) -> StatusAlarm:
        self.asked.append((alarm_id, note))
        return ALARM

    def revoke(self, serial: str, *_: Any, **__: Any) -> CertificateRecord:
        self.asked.append(("now", serial))
        return RECORD


class Gate:
    """Takes every connection for one officer's."""

    def of_peer(self, _certificate: bytes | None) -> Officer:
        return Officer(id="clerk-parsa")


Opened = Callable[[], tuple[FlaskClient, Desk, list[str]]]


@pytest.fixture
def opened(client_of: Client) -> Opened:
    def build() -> tuple[FlaskClient, Desk, list[str]]:
        desk, published = Desk(), list[str]()

        def publish(serial: str) -> int:
            published.append(serial)
            return 7

        parts = dict.fromkeys(("proposals", "holders", "status_alarms", "revocations"), desk)
        return client_of(gate=Gate(), publish_status=publish, **parts), desk, published

    return build


def test_a_date_in_the_past_makes_a_proposal_and_says_so(opened: Opened) -> None:
    client, desk, published = opened()
    body = {"reason": "keyCompromise", "invalidity_date": format_instant(SINCE), "evidence_sha256": EVIDENCE}
    said = client.post("/api/v1/certificates/aa/revocation", json=body).get_json()
    assert (said["state"], said["proposal"], said["crl_number"]) == ("on_hold", PROPOSAL.id, 7)
    assert desk.asked == [("aa", "keyCompromise", SINCE, EVIDENCE, "clerk-parsa")]
    assert published == ["aa"]


@pytest.mark.parametrize("evidence", [None, "", "zz"])
def test_without_evidence_a_date_in_the_past_is_refused(opened: Opened, evidence: str | None) -> None:
    client, desk, _ = opened()
    body = {"reason": "keyCompromise", "invalidity_date": format_instant(SINCE), "evidence_sha256": evidence}
    assert client.post("/api/v1/certificates/aa/revocation", json=body).status_code == 400
    assert desk.asked == []


def test_a_date_of_just_now_needs_one_officer(opened: Opened) -> None:
    client, desk, _ = opened()
    body = {"reason": "keyCompromise", "invalidity_date": format_instant(NOW - timedelta(minutes=5))}
    assert client.post("/api/v1/certificates/aa/revocation", json=body).status_code == 200
    assert desk.asked == [("now", "aa")]


def test_a_second_officer_sees_approves_and_refuses(opened: Opened) -> None:
    client, desk, published = opened()
    listed = client.get("/api/v1/revocations").get_json()["revocations"]
    assert [one["proposal"] for one in listed] == [PROPOSAL.id]
    assert client.post(f"/api/v1/revocations/{PROPOSAL.id}/approval", json={}).status_code == 200
    assert client.post(f"/api/v1/revocations/{PROPOSAL.id}/refusal", json={"why": "no"}).status_code == 200
    assert client.post(f"/api/v1/revocations/{PROPOSAL.id}/refusal", json={}).status_code == 400
    assert desk.asked == [(PROPOSAL.id,), (PROPOSAL.id, "no")]
    assert published == ["aa"]


def test_everything_of_a_holder_is_revoked_and_no_national_code_told(opened: Opened) -> None:
    client, desk, published = opened()
    answer = client.post("/api/v1/registrations/f1/revocation", json={"reason": "superseded", "whole_holder": True})
    said = answer.get_json()
    assert ([one["serial"] for one in said["revoked"]], said["abandoned"], said["published"]) == (["aa"], ["bb"], True)
    assert RECORD.holder not in answer.text
    assert (desk.asked, published) == ([("f1", "superseded", True)], ["aa"])


def test_alarms_are_seen_and_answered(opened: Opened) -> None:
    client, desk, _ = opened()
    assert client.get("/api/v1/status-alarms").get_json()["alarms"][0]["changes"] == ALARM.changes
    assert client.post(f"/api/v1/status-alarms/{ALARM.id}/notes", json={"note": "known"}).status_code == 200
    assert desk.asked == [(ALARM.id, "known")]


def test_the_health_page_tells_of_alarms_and_names_nobody() -> None:
    assert alarms_part(tuple).state is PartState.OK
    part = alarms_part(lambda: (ALARM,))
    assert (part.state, part.vital, ALARM.officer in part.note) == (PartState.DEGRADED, False, False)

    def silent() -> tuple[StatusAlarm, ...]:
        raise Unavailable(ErrorCode.DATABASE_UNAVAILABLE)

    assert alarms_part(silent).state is PartState.SILENT
