"""An independent implementation agrees with what the authority signs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from ca.issuing.orders import Issued
from ca.profiles import ISSUING_AUTHORITIES
from ca.status.revocation import RevocationReason
from pki.certificates import pem
from tests.ca.world import CLERK, FILE_PROFILES, START, World, new_csr

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="OpenSSL is not installed"),
]
PURPOSES = {"clin-auth": "sslclient", "cit-auth": "sslclient", "hix-tls": "sslclient", "tls-server": "sslserver"}


def openssl(*arguments: str, good: bool = True) -> str:
    ended = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False, timeout=30)
    said = ended.stdout + ended.stderr
    assert (ended.returncode == 0) == good, said
    return said


class Folder:
    """The deployment's public files, as a relying party has them."""

    def __init__(self, world: World, path: Path) -> None:
        self.world, self.path = world, path
        for name in ("root", *ISSUING_AUTHORITIES):
            (path / f"{name}.pem").write_text(pem(world.hierarchy.certificate(name)))
        self.publish()

    def publish(self) -> None:
        lists = [*self.world.authority.publish_all_crls(), self.world.authority.latest_crl("root", 0)]
        for crl in lists:
            assert crl is not None
            (self.path / f"{crl.issuer}-{crl.shard}.crl").write_bytes(crl.der)

    def write(self, issued: Issued) -> Path:
        path = self.path / f"{issued.serial_hex}.pem"
        path.write_text(pem(issued.der))
        return path

    def verify(self, certificate: Path, issuer: str, *more: str, good: bool = True) -> str:
        lists = [item for crl in sorted(self.path.glob("*.crl")) for item in ("-CRLfile", str(crl))]
        chain = ["-CAfile", str(self.path / "root.pem"), "-untrusted", str(self.path / f"{issuer}.pem")]
        moment = str(int(START.timestamp()))
        checks = ["-crl_check_all", "-x509_strict", "-attime", moment, *lists, *more]
        return openssl("verify", *chain, *checks, str(certificate), good=good)


@pytest.fixture
def folder(world: World, tmp_path: Path) -> Folder:
    return Folder(world, tmp_path)


@pytest.mark.parametrize("profile", FILE_PROFILES)
def test_the_chain_verifies_strictly_with_crls(profile: str, folder: Folder) -> None:
    issued = folder.world.issue(profile)
    purpose = ("-purpose", PURPOSES[profile]) if profile in PURPOSES else ()
    assert "OK" in folder.verify(folder.write(issued), issued.issuer, *purpose)


@pytest.mark.parametrize(("name", "purpose"), [("tsa", "timestampsign"), ("service-seal", "any")])
def test_the_services_chains_verify(name: str, purpose: str, folder: Folder) -> None:
    path = folder.path / "service.pem"
    path.write_text(pem(folder.world.hierarchy.certificate(name)))
    assert "OK" in folder.verify(path, "systems", "-purpose", purpose)


def test_policies_hold_along_the_path(folder: Folder) -> None:
    issued = folder.world.issue()
    explicit = ("-policy_check", "-explicit_policy", "-policy", "1.3.6.1.4.1.32473.364.1.0")
    assert "OK" in folder.verify(folder.write(issued), issued.issuer, *explicit)
    unapproved = folder.world.authority.issue(
        "cit-sign", folder.world.submitted(FILE_PROFILES["cit-sign"]).id, new_csr(), "clerk", unapproved=True
    )
    folder.verify(folder.write(unapproved), unapproved.issuer, *explicit, good=False)


def test_a_client_certificate_is_no_servers(folder: Folder) -> None:
    issued = folder.world.issue("hix-tls")
    folder.verify(folder.write(issued), issued.issuer, "-purpose", "sslserver", good=False)


def test_a_revoked_certificate_is_refused_by_its_crl(folder: Folder) -> None:
    issued = folder.world.issue()
    path = folder.write(issued)
    folder.verify(path, issued.issuer)
    folder.world.authority.revoke(issued.serial_hex, RevocationReason.KEY_COMPROMISE, CLERK, invalidity_date=START)
    folder.publish()
    assert "certificate revoked" in folder.verify(path, issued.issuer, good=False)


def test_a_crl_prints_and_verifies(folder: Folder) -> None:
    issued = folder.world.issue()
    folder.world.authority.hold(issued.serial_hex, CLERK)
    folder.publish()
    crl = folder.path / f"persons-{folder.world.authority.get(issued.serial_hex).shard}.crl"
    said = openssl(
        "crl", "-inform", "DER", "-in", str(crl), "-noout", "-text", "-CAfile", str(folder.path / "persons.pem")
    )
    assert "verify OK" in said
    assert issued.serial_hex.upper() in said
    assert "Certificate Hold" in said


def ask(folder: Folder, issued: Issued, *options: str) -> str:
    """Let OpenSSL write its request, answer it, and let OpenSSL judge the answer by the request."""
    issuer = str(folder.path / f"{issued.issuer}.pem")
    request, response = folder.path / "request.der", folder.path / "response.der"
    wanted = ("-issuer", issuer, *options, "-cert", str(folder.write(issued)))
    openssl("ocsp", *wanted, "-reqout", str(request))
    response.write_bytes(folder.world.authority.ocsp(request.read_bytes()))
    trust = ("-CAfile", str(folder.path / "root.pem"), "-verify_other", issuer)
    moment = str(int(START.timestamp()))
    judged = ("-reqin", str(request), "-respin", str(response), "-resp_text", "-attime", moment)
    return openssl("ocsp", *judged, *trust)


@pytest.mark.parametrize("options", [("-no_nonce",), ("-sha256", "-no_nonce"), ("-nonce",)], ids=" ".join)
def test_the_ocsp_client_believes_our_answers(folder: Folder, options: tuple[str, ...]) -> None:
    issued = folder.world.issue()
    said = ask(folder, issued, *options)
    assert "Response verify OK" in said
    assert "Cert Status: good" in said
    folder.world.authority.revoke(issued.serial_hex, RevocationReason.KEY_COMPROMISE, CLERK)
    said = ask(folder, issued, *options)
    assert "Response verify OK" in said
    assert "Cert Status: revoked" in said
    assert "keyCompromise" in said
