"""Several CRLs about one certificate: deltas, lists divided by reason, indirect lists, other keys (RFC 5280 §6.3.3)."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from pki import der
from signer.validation.answers import Good, Revoked, Silent, StatusAnswer
from signer.validation.evidence import Evidence
from signer.validation.existence import Existence
from signer.validation.path import CertificatePool
from signer.validation.status import EmbeddedStatus
from signer.validation.status_local import LocalStatus
from tests.signer.validation.test_status import scope
from tests.support.pki import NOW, Holder, Issuer, make_root
from tests.support.zoo import Zoo, make_clinician

NAME = "Test intermediate"
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
HOLD, REMOVED = x509.ReasonFlags.certificate_hold, x509.ReasonFlags.remove_from_crl
KEY, CA = x509.ReasonFlags.key_compromise, x509.ReasonFlags.ca_compromise
ALL = frozenset(set(x509.ReasonFlags) - {x509.ReasonFlags.unspecified, REMOVED})


def delta_of(base: int) -> tuple[tuple[x509.ExtensionType, bool], ...]:
    return ((x509.DeltaCRLIndicator(base), True),)


def said(zoo: Zoo, *lists: bytes, leaf: Holder | None = None, at: datetime = NOW) -> list[StatusAnswer]:
    holder = zoo.clinician if leaf is None else leaf
    source = EmbeddedStatus(crls=lists)
    return list(source.answers(holder.certificate, zoo.intermediate.certificate, at))


def held(zoo: Zoo, number: int = 5) -> bytes:
    serial = zoo.clinician.certificate.serial
    return zoo.intermediate.crl({serial: NOW - DAY}, number=number, reason=HOLD, this_update=NOW - 3 * HOUR)


def lifted(zoo: Zoo, number: int = 6, base: int = 5, next_update: datetime = NOW + HOUR) -> bytes:
    revoked = {zoo.clinician.certificate.serial: NOW - DAY}
    return zoo.intermediate.crl(
        revoked, number=number, reason=REMOVED, extra=delta_of(base), this_update=NOW - HOUR, next_update=next_update
    )


def test_a_delta_lifts_a_hold_of_the_list_that_it_continues(zoo: Zoo) -> None:
    (answer,) = said(zoo, held(zoo), lifted(zoo))
    assert isinstance(answer, Good)
    assert (answer.this_update, answer.next_update) == (NOW - HOUR, NOW + HOUR)


def test_a_delta_revokes_what_its_list_called_good(zoo: Zoo) -> None:
    revoked = {zoo.clinician.certificate.serial: NOW - HOUR}
    newer = zoo.intermediate.crl(revoked, number=6, reason=KEY, extra=delta_of(5))
    (answer,) = said(zoo, zoo.intermediate.crl(number=5, this_update=NOW - 3 * HOUR), newer)
    assert isinstance(answer, Revoked)
    assert answer.reason == "keyCompromise"


def test_a_delta_that_continues_another_list_lifts_nothing(zoo: Zoo) -> None:
    for strange in (lifted(zoo, base=6, number=7), lifted(zoo, number=5), lifted(zoo, number=4, base=3)):
        answers = said(zoo, held(zoo), strange)
        assert [type(answer) for answer in answers] == [Revoked, Silent]


def test_a_delta_that_has_run_out_does_not_silence_its_list(zoo: Zoo) -> None:
    answers = said(zoo, held(zoo), lifted(zoo, next_update=NOW - HOUR / 2))
    assert {type(answer) for answer in answers} == {Good, Revoked}


def test_lists_for_some_reasons_are_good_together_alone(zoo: Zoo) -> None:
    few, rest = frozenset({KEY, CA}), ALL - {KEY, CA}
    one = zoo.intermediate.crl(extra=(scope(only_some_reasons=few),), this_update=NOW - 2 * HOUR)
    other = zoo.intermediate.crl(extra=(scope(only_some_reasons=rest),), next_update=NOW + HOUR)
    (answer,) = said(zoo, one, other)
    assert isinstance(answer, Good)
    assert (answer.this_update, answer.next_update) == (NOW - 2 * HOUR, NOW + HOUR)
    assert isinstance(said(zoo, one)[0], Silent)


def test_a_list_for_some_reasons_revokes_alone(zoo: Zoo) -> None:
    revoked = {zoo.clinician.certificate.serial: NOW - DAY}
    listed = zoo.intermediate.crl(revoked, reason=KEY, extra=(scope(only_some_reasons=frozenset({KEY})),))
    assert isinstance(said(zoo, listed)[0], Revoked)


def indirect(by: Issuer, serial: int, issuer: x509.Name) -> bytes:
    """Sign an indirect list whose one entry is of a certificate of `issuer`."""
    named = x509.CertificateIssuer([x509.DirectoryName(issuer)])
    entry = (
        x509.RevokedCertificateBuilder()
        .serial_number(serial)
        .revocation_date(NOW - DAY)
        .add_extension(named, critical=True)
        .build()
    )
    return by.crl(extra=(scope(indirect_crl=True),), entries=(entry,))


def pointing_at(zoo: Zoo, crl_issuer: Issuer) -> Holder:
    place = x509.DistributionPoint(None, None, None, [x509.DirectoryName(crl_issuer.x509.subject)])
    return make_clinician(zoo.intermediate, extra=((x509.CRLDistributionPoints([place]), False),))


def judged(zoo: Zoo, holder: Holder, others: tuple[Issuer, ...], *lists: bytes) -> tuple[StatusAnswer, ...]:
    certificates = [one.certificate for one in (zoo.root, zoo.intermediate, *others)]
    evidence = Evidence(
        pool=CertificatePool([*certificates, holder.certificate]),
        sources=(EmbeddedStatus(crls=(zoo.root.crl(), *lists)),),
        anchors=frozenset((zoo.root.certificate,)),
        existence=Existence(NOW),
    )
    answers = evidence.answers(holder.certificate, zoo.intermediate.certificate, NOW)
    return tuple(answer for answer in answers if not isinstance(answer, Silent))


def test_an_indirect_list_speaks_where_the_certificate_points_at_its_issuer(zoo: Zoo) -> None:
    clearing = zoo.root.issue_ca("Clearing house")
    holder, name = pointing_at(zoo, clearing), zoo.intermediate.x509.subject
    (revoked,) = judged(zoo, holder, (clearing,), indirect(clearing, holder.certificate.serial, name))
    assert isinstance(revoked, Revoked)
    (good,) = judged(zoo, holder, (clearing,), indirect(clearing, holder.certificate.serial, zoo.root.x509.subject))
    assert isinstance(good, Good)  # the entry is of another issuer's certificate of the same number
    assert judged(zoo, zoo.clinician, (clearing,), indirect(clearing, 1, name)) == ()  # which points elsewhere


def test_an_indirect_list_of_a_stranger_says_nothing(zoo: Zoo) -> None:
    stranger = make_root("Stranger")
    holder = pointing_at(zoo, stranger)
    listed = indirect(stranger, holder.certificate.serial, zoo.intermediate.x509.subject)
    assert judged(zoo, holder, (stranger,), listed) == ()


def test_another_key_of_the_issuer_signs_its_list(zoo: Zoo) -> None:
    renewed = zoo.root.issue_ca(NAME)
    (answer,) = judged(zoo, zoo.clinician, (renewed,), renewed.crl())
    assert isinstance(answer, Good)
    assert judged(zoo, zoo.clinician, (), renewed.crl()) == ()


def test_another_key_that_was_revoked_signs_nothing(zoo: Zoo) -> None:
    renewed = zoo.root.issue_ca(NAME)
    bad = zoo.root.crl({renewed.certificate.serial: NOW - DAY}, number=2)
    assert judged(zoo, zoo.clinician, (renewed,), renewed.crl(), bad) == ()


@settings(max_examples=60, deadline=None)
@given(flags=st.binary(max_size=3), unused=st.integers(0, 9))
def test_reasons_that_cannot_be_read_make_a_list_silent_or_partial_never_whole(
    zoo: Zoo, flags: bytes, unused: int
) -> None:
    part = der.context(3, bytes((unused,)) + flags, constructed=False)
    strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.28"), der.sequence(part))
    (answer,) = said(zoo, zoo.intermediate.crl(extra=((strange, True),)))
    assert isinstance(answer, Silent) or flags[:1] >= b"\x7f"


def test_somebody_elses_certificate_of_the_issuers_name_signs_no_list_for_it(zoo: Zoo) -> None:
    other = zoo.root.issue_ca("Other CA", path_length=1)
    for rogue in (other.issue_ca(NAME), other.issue(NAME)):
        signer = rogue if isinstance(rogue, Issuer) else Issuer(x509=rogue.x509, key=rogue.key, issuers=())
        more = (other, signer)
        assert judged(zoo, zoo.clinician, more, other.crl(), signer.crl(number=9)) == ()


def test_a_published_delta_is_read_beside_its_list(zoo: Zoo, tmp_path: Path) -> None:
    place = x509.DistributionPoint([x509.UniformResourceIdentifier("http://mohr.test/crl/ca1/0.crl")], None, None, None)
    holder = make_clinician(zoo.intermediate, extra=((x509.CRLDistributionPoints([place]), False),))
    folder = tmp_path / "ca1"
    folder.mkdir()
    (folder / "0.crl").write_bytes(zoo.intermediate.crl(number=5, this_update=NOW - 3 * HOUR))
    revoked = {holder.certificate.serial: NOW - HOUR}
    (folder / "0.delta.crl").write_bytes(zoo.intermediate.crl(revoked, number=6, reason=KEY, extra=delta_of(5)))
    source = LocalStatus(folder=tmp_path)
    (answer,) = source.answers(holder.certificate, zoo.intermediate.certificate, NOW)
    assert isinstance(answer, Revoked)


def _respelled(zoo: Zoo, old: bytes, new: bytes) -> bytes:
    """Return a list that holds the clinician, with the entries' octets changed and signed anew."""
    revoked = zoo.intermediate.crl({zoo.clinician.certificate.serial: NOW - HOUR})
    tbs, algorithm, _ = der.parse(revoked).sequence()
    parts = [part.raw for part in tbs.sequence()]
    (entry,) = der.parse(parts[5]).sequence()
    assert old in entry.raw
    parts[5] = der.sequence(_refit(entry.raw.replace(old, new, 1)))
    body = der.sequence(*parts)
    return der.sequence(body, algorithm.raw, der.bit_string(zoo.intermediate.key.sign(body)))


def _refit(entry: bytes) -> bytes:
    return entry if entry[1] == 0x81 else der.tlv(entry[0], entry[2:])


def test_a_list_whose_entries_are_written_otherwise_than_in_der_calls_nobody_good(zoo: Zoo) -> None:
    serial = der.integer(zoo.clinician.certificate.serial)
    length = bytes((der.SEQUENCE, 2 + len(serial) - 2 + 15))
    padded = bytes((der.INTEGER, len(serial) - 1, 0)) + serial[2:]
    others = (
        (serial, serial),
        (serial, padded),
        (length, length[:1] + b"\x81" + length[1:]),
        (serial, der.octet_string(serial[2:])),
    )
    first, *rest = (said(zoo, _respelled(zoo, *change)) for change in others)
    assert isinstance(first[0], Revoked)
    for (answer,) in rest:
        assert isinstance(answer, Silent)
        assert "entries are not DER" in answer.detail


def test_long_entries_and_large_numbers_are_read_past(zoo: Zoo) -> None:
    long = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), bytes(500))
    entry = (
        x509.RevokedCertificateBuilder().serial_number(0x80).revocation_date(NOW).add_extension(long, critical=False)
    )
    crl = zoo.intermediate.crl({1: NOW, 2**150: NOW}, entries=(entry.build(),))
    assert isinstance(said(zoo, crl)[0], Good)
