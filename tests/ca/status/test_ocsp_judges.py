"""Independent programs agree with each other, and with our verifier, on every kind of answer that we give."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from asn1crypto import ocsp as asn1_ocsp
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from pyhanko_certvalidator import CertificateValidator, ValidationContext
from pyhanko_certvalidator.errors import PathValidationError, RevokedError

from ca.issuing.orders import Issued
from ca.status.ocsp import OCSP_ARCHIVE_CUTOFF, issuer_prefix, usual_cert_id
from ca.status.revocation import RevocationReason
from pki import der
from pki.certificates import Certificate, pem, read_extensions
from signer.validation.answers import Good, Revoked, Silent
from signer.validation.status import judge_ocsp
from storage.engine import Database
from tests.ca import linters
from tests.ca.conftest import WorldMaker
from tests.ca.status.test_ocsp import request
from tests.ca.world import CLERK, START, World
from tests.support.ocsp_forge import CERT_HASH
from tests.support.openssl import openssl

HOUR: Final = timedelta(hours=1)
REASONS: Final = [r for r in RevocationReason if r is not RevocationReason.CERTIFICATE_HOLD]


@dataclass(kw_only=True)
class Kind:
    """How an answer comes about, and what everybody should understand."""

    state: str
    reason: str | None = None
    issue: Callable[[World], Issued] = World.issue
    then: Callable[[World, Issued], object] = field(default=lambda _world, _issued: None)
    ask: dict[str, Any] = field(default_factory=dict)
    known: bool = True


def revoking(reason: RevocationReason) -> Kind:
    told = None if reason is RevocationReason.UNSPECIFIED else reason.value
    return Kind(state="revoked", reason=told, then=lambda w, i: w.authority.revoke(i.serial_hex, reason, CLERK))


def released(world: World, issued: Issued) -> None:
    world.authority.hold(issued.serial_hex, CLERK)
    world.authority.unhold(issued.serial_hex, CLERK)


KINDS: Final[dict[str, Kind]] = {
    "good": Kind(state="good"),
    "good, signed before": Kind(state="good", then=lambda w, _: w.authority.presign()),
    "good, with a nonce": Kind(state="good", ask={"nonce": b"n" * 32}),
    "good, asked by SHA-256": Kind(state="good", ask={"algorithm": hashes.SHA256()}),
    "good again after a hold": Kind(state="good", then=released),
    "held": Kind(state="revoked", reason="certificateHold", then=lambda w, i: w.authority.hold(i.serial_hex, CLERK)),
    "not activated": Kind(state="revoked", reason="certificateHold", issue=World.issue_waiting),
    "unknown": Kind(state="unknown", known=False),
    **{f"revoked for {reason.value}": revoking(reason) for reason in REASONS},
}


@dataclass(kw_only=True)
class Told:
    """One answer and what it is about."""

    kind: Kind
    response: bytes
    subject: bytes
    issuer: bytes
    root: bytes
    serial: int


@pytest.fixture(params=KINDS)
def told(shared_world: World, request: pytest.FixtureRequest) -> Told:
    return ask(shared_world, KINDS[request.param])


def ask(world: World, kind: Kind) -> Told:
    issued = kind.issue(world)
    kind.then(world, issued)
    serial, issuer = int(issued.serial_hex, 16), world.hierarchy.certificate("persons")
    asked = world.request_for(issued, **kind.ask)
    if not kind.known:
        serial += 1
        asked = request(usual_cert_id(issuer_prefix(Certificate.parse(issuer)), serial))
    return Told(
        kind=kind,
        response=world.authority.ocsp(asked),
        subject=issued.der,
        issuer=issuer,
        root=world.hierarchy.certificate("root"),
        serial=serial,
    )


def single_extensions(response: bytes) -> dict[str, bytes]:
    basic = der.parse(response).sequence()[1].inner().sequence()[1].inner()
    (single,) = basic.sequence()[0].sequence()[2].sequence()
    tagged = [part for part in single.sequence() if part.tag == 0xA1][-1:]
    if len(single.sequence()) < 5:
        return {}
    return {kind: found.value for kind, found in read_extensions(tagged[0].inner()).items()}


def test_everybody_agrees(told: Told, tmp_path: Path) -> None:
    assert linters.lint_ocsp(told.response) == []
    by_cryptography(told)
    by_ourselves(told)
    by_pyhanko(told)
    by_openssl(told, tmp_path)


def by_cryptography(told: Told) -> None:
    answer = ocsp.load_der_ocsp_response(told.response)
    assert answer.certificate_status.name.lower() == told.kind.state
    assert (answer.revocation_reason.value if answer.revocation_reason else None) == told.kind.reason
    assert answer.serial_number == told.serial
    (delegate,) = answer.certificates
    delegate.verify_directly_issued_by(x509.load_der_x509_certificate(told.issuer))
    key, hashed = delegate.public_key(), answer.signature_hash_algorithm
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert hashed is not None
    key.verify(answer.signature, answer.tbs_response_bytes, ec.ECDSA(hashed))
    found = single_extensions(told.response)
    assert (CERT_HASH in found, OCSP_ARCHIVE_CUTOFF in found) == (told.kind.known, told.kind.known)
    if told.kind.known:
        assert found[CERT_HASH].endswith(hashlib.sha256(told.subject).digest())


def by_ourselves(told: Told) -> None:
    subject, issuer = Certificate.parse(told.subject), Certificate.parse(told.issuer)
    answer = judge_ocsp(told.response, subject, issuer, START, origin="t")
    expected = {"good": Good, "revoked": Revoked, "unknown": Silent}[told.kind.state]
    assert isinstance(answer, expected), answer
    if isinstance(answer, Revoked):
        assert answer.reason == (told.kind.reason or "unspecified")


def by_pyhanko(told: Told) -> None:
    context = ValidationContext(
        trust_roots=[asn1_x509.Certificate.load(told.issuer)],
        ocsps=[asn1_ocsp.OCSPResponse.load(told.response)],
        moment=START + HOUR / 2,
        allow_fetching=False,
        revocation_mode="require",
    )
    validator = CertificateValidator(asn1_x509.Certificate.load(told.subject), validation_context=context)
    judged = validator.async_validate_usage(set())  # type: ignore[no-untyped-call]
    if told.kind.state == "good":
        asyncio.run(judged)
        return
    with pytest.raises(RevokedError if told.kind.state == "revoked" else PathValidationError) as caught:
        asyncio.run(judged)
    if isinstance(caught.value, RevokedError):
        assert caught.value.reason.human_friendly
        native = str(caught.value.reason.native)
        assert native.replace("_", "") == (told.kind.reason or "unspecified").lower()


def by_openssl(told: Told, folder: Path) -> None:
    answer, issuer, anchors = folder / "answer.der", folder / "issuer.pem", folder / "anchors.pem"
    answer.write_bytes(told.response)
    issuer.write_text(pem(told.issuer))
    anchors.write_text(pem(told.root) + pem(told.issuer))
    said = openssl(
        *("ocsp", "-respin", answer, "-issuer", issuer, "-sha256" if told.kind.ask.get("algorithm") else "-sha1"),
        *("-serial", str(told.serial), "-CAfile", anchors, "-attime", str(int(START.timestamp()) + 60)),
        *("-validity_period", "4000000000", "-no_nonce"),
    )
    assert "Response verify OK" in said.stderr, said.stderr
    assert re.search(rf"{told.serial}: {told.kind.state}", said.stdout), said.stdout
    # OpenSSL 3.0 has no word for privilegeWithdrawn and aACompromise.
    words = (told.kind.reason, r"\(UNKNOWN\)") if told.kind.reason == "privilegeWithdrawn" else (told.kind.reason,)
    if told.kind.reason:
        assert re.search(rf"Reason: ({'|'.join(map(str, words))})", said.stdout), said.stdout
    else:
        assert "Reason:" not in said.stdout


@pytest.mark.parametrize("revoked", [False, True])
def test_of_expired_certificates_it_is_said_whether_they_had_been_revoked(
    sqlite_database: Database, make_world: WorldMaker, revoked: bool
) -> None:
    """All are answered for as long as rows are kept, which is for ever: the cutoff is the issuer's own beginning."""
    world = make_world(sqlite_database)
    issued = world.issue("tls-server")
    if revoked:
        world.authority.revoke(issued.serial_hex, RevocationReason.SUPERSEDED, CLERK)
    subject = Certificate.parse(issued.der)
    world.clock.time = subject.not_after + timedelta(days=5)
    world.authority.renew_services()
    world.authority.expire()
    response = world.authority.ocsp(world.request_for(issued))
    assert linters.lint_ocsp(response) == []
    issuer = Certificate.parse(world.hierarchy.certificate("systems"))
    assert der.parse(single_extensions(response)[OCSP_ARCHIVE_CUTOFF]).time() == issuer.not_before
    answer = judge_ocsp(response, subject, issuer, world.clock.time, origin="t")
    assert isinstance(answer, Revoked if revoked else Good)
    if isinstance(answer, Good):
        assert answer.expired_since == issuer.not_before
