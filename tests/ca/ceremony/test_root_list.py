"""The root's list, signed again; an issuing CA revoked. OpenSSL judges."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from ca.ceremony.script import Script, parse_script
from ca.errors import CrlRegression, IllegalTransition
from ca.officers.identity import Officer
from ca.profiles import IssuerName
from ca.root_desk import RootDesk
from ca.status.crl import read_crl, split_entries
from ca.status.revocation import CertificateState
from pki.certificates import Certificate, pem
from pki.errors import Conflict, InvalidInput, NotAllowed, NotFound
from tests.ca.ceremony.rehearsal import EXAMPLES, Rehearsal
from tests.ca.world import SETTINGS
from tests.support.openssl import openssl

ROOT_CRL = (EXAMPLES / "root-crl.toml").read_text()


def script(*changes: tuple[str, str]) -> Script:
    text = ROOT_CRL
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return parse_script(text.encode())


def named(number: int) -> tuple[str, str]:
    return "root-crl-2026", f"root-crl-{number}"


def renewal(number: int) -> Script:
    first, _, rest = ROOT_CRL.partition('[[step]]\ndo = "revoke-authority"')
    return parse_script((first + rest[rest.index("[[step]]") :]).replace(*named(number)).encode())


def desk(rehearsal: Rehearsal) -> RootDesk:
    return RootDesk(rehearsal.home.database, rehearsal.workshop.tokens["root"][1], SETTINGS, rehearsal.clock)


def test_the_list_is_signed_again_with_a_higher_number(pilot: Rehearsal) -> None:
    numbers = [read_crl(pilot.home.published["root/0.crl"]).number]
    for again in range(2):
        pilot.clock.move(days=30)
        pilot.hold(renewal(again))
        published = read_crl(pilot.home.published["root/0.crl"])
        numbers.append(published.number)
        assert published.this_update == pilot.clock.now()
        assert published.next_update - published.this_update == timedelta(days=370)
    assert numbers == [1, 2, 3]
    pilot.hold(renewal(1))
    assert "nothing is done again" in pilot.persons.said[-1]
    latest = desk(pilot).latest_crl("root", 0)
    assert latest is not None
    assert latest.der == pilot.home.published["root/0.crl"]


@pytest.mark.real
def test_openssl_sees_the_revoked_authority_and_the_others_in_force(pilot: Rehearsal, tmp_path: Path) -> None:
    pilot.hold(script(('reason = "superseded"', 'reason = "keyCompromise"\ninvalidity_date = "2026-11-22T09:10:00Z"')))
    files = {name: tmp_path / f"{name}.pem" for name in ("root", "institutions", "persons")}
    for name, path in files.items():
        path.write_text(pem(pilot.home.published[f"{name}.cer"]))
    crl = tmp_path / "root.crl.pem"
    crl.write_text(pem(pilot.home.published["root/0.crl"], "X509 CRL"))
    shown = openssl("crl", "-in", crl, "-noout", "-text", "-CAfile", files["root"]).stdout
    assert "Key Compromise" in shown
    assert "Invalidity Date" in shown
    assert "verify OK" in openssl("crl", "-in", crl, "-noout", "-CAfile", files["root"]).stderr
    at = ("-attime", str(int(pilot.clock.now().timestamp())))
    check = ("verify", *at, "-crl_check", "-CRLfile", crl, "-CAfile", files["root"])
    revoked, good = (openssl(*check, files[name]) for name in ("institutions", "persons"))
    assert "certificate revoked" in revoked.stderr
    assert good.returncode == 0, good.stderr


def test_the_register_and_the_list_say_the_same(pilot: Rehearsal) -> None:
    pilot.example("root-crl")
    serial = Certificate.parse(pilot.home.published["institutions.cer"]).serial_hex
    record = desk(pilot).get(serial)
    assert record.state is CertificateState.REVOKED
    crl = x509.load_der_x509_crl(pilot.home.published["root/0.crl"])
    entry = crl.get_revoked_certificate_by_serial_number(record.serial)
    assert entry is not None
    assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason is x509.ReasonFlags.superseded
    assert [one.serial_number for one in crl] == [record.serial]


def test_a_revocation_stays_on_every_list_that_follows(pilot: Rehearsal) -> None:
    pilot.example("root-crl")
    pilot.clock.move(days=100)
    pilot.hold(renewal(2))
    assert len(split_entries(read_crl(pilot.home.published["root/0.crl"]).entries)) == 1


def test_what_is_revoked_is_not_revoked_again(pilot: Rehearsal) -> None:
    pilot.example("root-crl")
    with pytest.raises(Conflict, match="revoked before the ceremony"):
        pilot.hold(script(named(2)))


def test_a_list_that_would_go_back_in_time_is_refused_by_the_gate(pilot: Rehearsal) -> None:
    pilot.hold(renewal(1))
    pilot.clock.move(days=-1)
    with pytest.raises(CrlRegression):
        pilot.hold(renewal(2))
    assert read_crl(pilot.home.published["root/0.crl"]).number == 2


def test_an_invalidity_date_before_the_certificate_is_refused(pilot: Rehearsal) -> None:
    with pytest.raises(InvalidInput, match="invalidity date"):
        pilot.hold(script(('reason = "superseded"', 'reason = "superseded"\ninvalidity_date = "2020-01-01T00:00:00Z"')))


def test_the_roots_desk_revokes_issuing_authorities_alone(pilot: Rehearsal) -> None:
    root = Certificate.parse(pilot.home.published["root.cer"]).serial_hex
    with pytest.raises(NotAllowed, match="not an issuing CA"):
        pilot.hold(script(('authority = "institutions"', f'serial = "{root}"')))
    with pytest.raises(NotFound):
        pilot.hold(script(('authority = "institutions"', 'serial = "00ff"'), named(2)))


def test_another_roots_token_signs_nothing(pilot: Rehearsal) -> None:
    mine = pilot.workshop.tokens["root"]
    other = Rehearsal(pilot.path / "other")
    other.path.mkdir()
    other.example("pilot-root")
    pilot.workshop.tokens["root"] = (mine[0], other.workshop.tokens["root"][1])
    with pytest.raises(Exception, match="another root's key"):
        pilot.example("root-crl")
    other.close()


def test_a_service_has_no_such_desk(pilot: Rehearsal) -> None:
    assert not hasattr(RootDesk.__mro__[1], "publish_root_crl")
    with pytest.raises(NotFound, match="where its key is"):
        RootDesk.publish_crl(desk(pilot), IssuerName.ROOT, 0)
    persons = Certificate.parse(pilot.home.published["persons.cer"])
    with pytest.raises(IllegalTransition):
        desk(pilot).unhold(persons.serial_hex, Officer.of_deployment("x"))
