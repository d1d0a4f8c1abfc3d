"""The drill of a second site with keys of its own: three ceremonies in two homes, until the second one signs."""

from __future__ import annotations

import shutil

import pytest
from cryptography import x509

from ca.ceremony.errors import CeremonyStopped
from ca.ceremony.script import Script, parse_script
from ca.profiles import ISSUING_AUTHORITIES
from ca.service import CertificateAuthority
from hsm.provider import spki_of
from pki.certificates import Certificate, pem
from tests.ca.ceremony.conftest import Copier
from tests.ca.ceremony.rehearsal import EXAMPLES, Rehearsal
from tests.ca.world import SETTINGS
from tests.support.officers import EveryOfficer


def _site_2() -> Script:
    """The manual's script, in the words of the tests' settings."""
    text = (EXAMPLES / "site-2.toml").read_text()
    return parse_script(text.replace("Mohr Pilot (synthetic)", SETTINGS.organization).encode())


def test_a_second_site_signs_with_keys_of_its_own_under_the_root_of_the_first(
    empty: Rehearsal, copy_of_founded: Copier, tmp_path_factory: pytest.TempPathFactory
) -> None:
    first, second, script = copy_of_founded(tmp_path_factory.mktemp("first")), empty, _site_2()
    second.clock.move(hours=1)
    requests, certified = second.home.folder("site-2"), first.home.folder("certify-site-2")
    with pytest.raises(CeremonyStopped, match=r"put it at .*persons\.pem"):
        second.hold(script)
    certified.mkdir(parents=True)
    for label in ISSUING_AUTHORITIES:
        shutil.copy(requests / f"{label}.csr", certified)
    first.example("certify-site-2")
    root = Certificate.parse(first.home.published["root.cer"])
    for label in ISSUING_AUTHORITIES:
        shutil.copy(certified / f"{label}.pem", requests)
    (requests / "root.pem").write_text(pem(root.der))
    second.hold(script)
    assert second.home.opened == 1
    assert second.home.service is not None
    authority = CertificateAuthority(
        second.home.database, second.home.service, SETTINGS, second.clock, gate=EveryOfficer()
    )
    for label in ISSUING_AUTHORITIES:
        own = Certificate.parse(second.home.published[f"{label}.cer"])
        own.verify_signed_by(root)
        assert own.spki_der != Certificate.parse(first.home.published[f"{label}.cer"]).spki_der
        assert own.spki_der == spki_of(second.home.service.signing_key(f"ca-{label}").public_key())
        crl = x509.load_der_x509_crl(authority.publish_crl(label, 0).der)
        assert crl.is_signature_valid(x509.load_der_x509_certificate(own.der).public_key())  # type: ignore[arg-type]  # EC
    first.close()
