from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from cryptography import x509
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ca.errors import IllegalTransition
from ca.hierarchy import Hierarchy
from ca.signing import sign_structures
from ca.status.crl import CrlPlan, build_tbs_crl
from ca.status.revocation import (
    TRANSITIONS,
    Act,
    CertificateState,
    RevocationReason,
    Status,
    encode_crl_entry,
    expire,
    hold,
    next_state,
    release,
    revoke,
)
from ca.tbs import Issuer
from pki.certificates import Certificate
from pki.errors import InvalidInput
from tests.ca.conftest import Ceremony
from tests.ca.world import START

DAY = timedelta(days=1)
BORN = START - DAY
GOOD = Status(state=CertificateState.GOOD)


@pytest.mark.parametrize("state", CertificateState)
@pytest.mark.parametrize("act", Act)
def test_every_pair_of_state_and_act_is_decided(state: CertificateState, act: Act) -> None:
    if (state, act) in TRANSITIONS:
        assert next_state(state, act) is TRANSITIONS[state, act]
    else:
        with pytest.raises(IllegalTransition):
            next_state(state, act)


def test_nothing_leads_out_of_an_end() -> None:
    ends = {CertificateState.REVOKED, CertificateState.EXPIRED, CertificateState.ABANDONED}
    assert not any(state in ends for state, _ in TRANSITIONS)


def test_a_hold_is_seen_and_its_lifting_leaves_nothing() -> None:
    held = hold(GOOD, START)
    assert (held.state, held.reason, held.revoked_at) == (
        CertificateState.ON_HOLD,
        RevocationReason.CERTIFICATE_HOLD,
        START,
    )
    assert held.listed
    assert release(held) == GOOD


def test_a_revocation_out_of_a_hold_counts_from_the_hold() -> None:
    status = revoke(hold(GOOD, START), START + DAY, RevocationReason.KEY_COMPROMISE, not_before=BORN)
    assert (status.revoked_at, status.reason) == (START, RevocationReason.KEY_COMPROMISE)


def test_a_hold_that_outlives_the_certificate_stays_visible() -> None:
    assert expire(hold(GOOD, START)).listed
    assert not expire(GOOD).listed


def test_a_hold_is_no_revocation() -> None:
    with pytest.raises(InvalidInput):
        revoke(GOOD, START, RevocationReason.CERTIFICATE_HOLD, not_before=BORN)


@pytest.mark.parametrize("moment", [START + timedelta(seconds=1), BORN - timedelta(seconds=1)])
def test_an_invalidity_date_lies_in_the_certificates_life_so_far(moment: datetime) -> None:
    with pytest.raises(InvalidInput):
        revoke(GOOD, START, RevocationReason.KEY_COMPROMISE, not_before=BORN, invalidity_date=moment)


def issuer_of(hierarchy: Hierarchy) -> Issuer:
    from ca.profiles import IssuerName

    return Issuer.of(IssuerName.PERSONS, Certificate.parse(hierarchy.certificate("persons")))


@pytest.mark.parametrize("reason", [r for r in RevocationReason if r is not RevocationReason.CERTIFICATE_HOLD])
@pytest.mark.parametrize("invalid_since", [None, BORN])
def test_an_entry_reads_as_what_it_says(
    ceremony: Ceremony, reason: RevocationReason, invalid_since: datetime | None
) -> None:
    status = revoke(GOOD, START, reason, not_before=BORN, invalidity_date=invalid_since)
    issuer = issuer_of(ceremony.hierarchy)
    plan = CrlPlan(
        issuer=issuer,
        url="http://pki.example.org/0.crl",
        number=1,
        this_update=START,
        next_update=START + DAY,
        entries=(encode_crl_entry(2**158 + 7, status),),
    )
    (crl_der,) = sign_structures(ceremony.keys, "ca-persons", issuer.public_key, [build_tbs_crl(plan)])
    (entry,) = x509.load_der_x509_crl(crl_der)
    assert (entry.serial_number, entry.revocation_date_utc) == (2**158 + 7, START)
    found = {extension.oid: extension.value for extension in entry.extensions}
    if reason is RevocationReason.UNSPECIFIED:
        assert x509.CRLReason.oid not in found
    else:
        value = found[x509.CRLReason.oid]
        assert isinstance(value, x509.CRLReason)
        assert value.reason.value == reason.value
    if invalid_since is None:
        assert x509.InvalidityDate.oid not in found
    else:
        date = found[x509.InvalidityDate.oid]
        assert isinstance(date, x509.InvalidityDate)
        assert date.invalidity_date_utc == invalid_since


def test_a_certificate_in_force_has_no_entry() -> None:
    with pytest.raises(IllegalTransition):
        encode_crl_entry(1, GOOD)


class CertificateLife(RuleBasedStateMachine):
    """Random lives: an act either follows the table or changes nothing; a revoked certificate never comes back."""

    def __init__(self) -> None:
        super().__init__()
        self.status = GOOD
        self.now = START
        self.first_listed: datetime | None = None
        self.dead = False

    def act(self, act: Act, change: object) -> None:
        assert callable(change)
        legal = (self.status.state, act) in TRANSITIONS
        try:
            self.status = change()
        except IllegalTransition:
            assert not legal
            return
        assert legal
        if self.status.state is CertificateState.REVOKED:
            self.dead = True
        if not self.status.listed:
            self.first_listed = None
        elif self.first_listed is None:
            self.first_listed = self.now

    @rule(hours=st.integers(1, 100))
    def time_passes(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule()
    def hold(self) -> None:
        self.act(Act.HOLD, lambda: hold(self.status, self.now))

    @rule()
    def release(self) -> None:
        self.act(Act.RELEASE, lambda: release(self.status))

    @rule(reason=st.sampled_from([RevocationReason.KEY_COMPROMISE, RevocationReason.SUPERSEDED]))
    def revoke(self, reason: RevocationReason) -> None:
        self.act(Act.REVOKE, lambda: revoke(self.status, self.now, reason, not_before=BORN))

    @rule()
    def expire(self) -> None:
        self.act(Act.EXPIRE, lambda: expire(self.status))

    @precondition(lambda self: self.dead)
    @invariant()
    def dead_stays_dead(self) -> None:
        assert self.status.state is CertificateState.REVOKED

    @invariant()
    def the_first_day_of_being_listed_is_kept(self) -> None:
        assert self.status.revoked_at == self.first_listed


TestCertificateLife = CertificateLife.TestCase
