"""Authorities with RSA keys, PKCS#1 v1.5 and PSS: certificates, lists and answers, as others read them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509 import ocsp

from ca.config import validate_settings
from ca.hierarchy import adopt, create_hierarchy
from ca.service import CertificateAuthority
from hsm.soft import UnsafeSoftKeys
from pki.certificates import Certificate
from pki.errors import ErrorCode, InvalidInput
from pki.keys import SignatureAlgorithm
from storage.engine import open_database
from storage.migrate import upgrade
from tests.ca import linters
from tests.ca.profile_documents import document, pilots
from tests.ca.test_openssl import Folder
from tests.ca.world import RAW_SETTINGS, FakeClock, World
from tests.support.officers import EveryOfficer

RSA = document({name: pilots(name, keys=["RSA-3072"], version=2) for name in ("root", "issuing-ca")}, extends="pilot")


@pytest.fixture(scope="module", params=[SignatureAlgorithm.RS256, SignatureAlgorithm.PS256])
def rsa_world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    settings, clock = validate_settings(replace(RAW_SETTINGS, profiles=RSA)), FakeClock()
    keys = UnsafeSoftKeys(clock)
    hierarchy = create_hierarchy(UnsafeSoftKeys(clock), keys, settings, clock, algorithm=request.param)
    database = open_database(f"sqlite:///{tmp_path_factory.mktemp('rsa') / 'mohr.db'}")
    upgrade(database)
    adopt(database, hierarchy, settings, clock, "init")
    authority = CertificateAuthority(database, keys, settings, clock, gate=EveryOfficer())
    yield World(authority=authority, database=database, keys=keys, hierarchy=hierarchy, clock=clock, settings=settings)
    database.close()


def padding_of(certificate: x509.Certificate) -> type:
    return type(certificate.signature_algorithm_parameters)


def test_every_certificate_and_list_says_the_padding_that_signed_it(rsa_world: World) -> None:
    issued = rsa_world.issue("clin-sign")
    pss = rsa_world.keys.signing_key("ca-persons").algorithm is SignatureAlgorithm.PS256
    chain = [issued.der, *(rsa_world.hierarchy.certificate(name) for name in ("persons", "root"))]
    for der, above in zip(chain, [*chain[1:], chain[-1]], strict=True):
        found = x509.load_der_x509_certificate(der)
        assert padding_of(found) is (padding.PSS if pss else padding.PKCS1v15)
        found.verify_directly_issued_by(x509.load_der_x509_certificate(above))
        Certificate.parse(der).verify_signed_by(Certificate.parse(above))
        assert linters.lint_certificate(der) == []
    lists = [(crl.issuer, crl.der) for crl in rsa_world.authority.publish_all_crls()]
    for name, crl_der in (*lists, ("root", rsa_world.hierarchy.root_crl.der)):
        key = rsa_world.issuer(name).public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        assert x509.load_der_x509_crl(crl_der).is_signature_valid(key)
        assert linters.lint_crl(crl_der) == []
    assert rsa_world.ask(issued).certificate_status is ocsp.OCSPCertStatus.GOOD


@pytest.mark.real
@pytest.mark.skipif(shutil.which("openssl") is None, reason="OpenSSL is not installed")
def test_openssl_verifies_the_chain_with_its_lists(rsa_world: World, tmp_path: Path) -> None:
    folder = Folder(rsa_world, tmp_path)
    issued = rsa_world.issue("hix-tls")
    assert "OK" in folder.verify(folder.write(issued), issued.issuer, "-purpose", "sslclient")


def test_an_issuer_takes_no_algorithm_that_its_key_has_not(rsa_world: World) -> None:
    issuer = rsa_world.authority._authority("persons").issuer
    with pytest.raises(InvalidInput) as caught:
        issuer.signing_with(SignatureAlgorithm.ES256)
    assert caught.value.code is ErrorCode.KEY_REFUSED
