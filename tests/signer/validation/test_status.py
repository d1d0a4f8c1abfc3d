"""CRLs and OCSP responses as evidence; a deployment's folder; addresses in certificates, over real HTTP."""

import http.server
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID
from hypothesis import given, settings
from hypothesis import strategies as st

from pki import der
from pki.certificates import pem
from pki.errors import NotFound, ServiceError
from pki.oids import OidArc
from signer.formats.jades import sign_jades
from signer.validation import crl, ocsp
from signer.validation.answers import Good, Revoked, Silent
from signer.validation.context import VerificationContext
from signer.validation.policy import HEALTH_CLUSTER, parse_policy
from signer.validation.status import judge_crl, judge_ocsp
from signer.validation.status_local import LocalStatus, load_trust
from signer.validation.status_online import OnlineStatus
from signer.validation.verify import verify_bytes
from tests.signer.validation.expect import PASSED, UNDECIDED, expect
from tests.support.ocsp_forge import ocsp_answer
from tests.support.pki import NOW, Holder, Issuer
from tests.support.zoo import SIGNED_AT, Zoo, admission, make_clinician

DAY = timedelta(days=1)
BASE = "http://mohr.test"


def point(url: str) -> tuple[x509.ExtensionType, bool]:
    return x509.CRLDistributionPoints(
        [x509.DistributionPoint([x509.UniformResourceIdentifier(url)], None, None, None)]
    ), False


def scope(url: str | None = None, **flags: Any) -> tuple[x509.ExtensionType, bool]:
    members: dict[str, Any] = {
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
        "relative_name": None,
        "full_name": None if url is None else [x509.UniformResourceIdentifier(url)],
    }
    return x509.IssuingDistributionPoint(**(members | flags)), True


def sharded(issuer: Issuer, url: str) -> Holder:
    return make_clinician(issuer, extra=((admission(), False), point(url)))


# CRLs


def test_a_list_speaks_for_its_own_shard_alone(zoo: Zoo) -> None:
    holder = sharded(zoo.intermediate, f"{BASE}/crl/persons/3.crl")
    own = zoo.intermediate.crl(extra=(scope(f"{BASE}/crl/persons/3.crl"),))
    other = zoo.intermediate.crl(extra=(scope(f"{BASE}/crl/persons/4.crl"),))
    answers = [judge_crl(d, holder.certificate, zoo.intermediate.certificate, NOW, origin="t") for d in (own, other)]
    assert [type(answer) for answer in answers] == [Good, Silent]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"only_contains_user_certs": True}, Good),
        ({"only_contains_ca_certs": True}, Silent),
        ({"only_contains_attribute_certs": True}, Silent),
        ({"indirect_crl": True}, Good),
        ({"only_some_reasons": frozenset((x509.ReasonFlags.key_compromise,))}, Silent),
    ],
)
def test_a_list_of_another_scope_is_silent(zoo: Zoo, flags: dict[str, Any], expected: type) -> None:
    data = zoo.intermediate.crl(extra=(scope(**flags),))
    answer = judge_crl(data, zoo.clinician.certificate, zoo.intermediate.certificate, NOW, origin="t")
    assert isinstance(answer, expected)


def test_an_unknown_critical_extension_makes_a_list_silent(zoo: Zoo) -> None:
    strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.32473.9.9"), der.null())
    data = zoo.intermediate.crl(extra=((strange, True),))
    answer = judge_crl(data, zoo.clinician.certificate, zoo.intermediate.certificate, NOW, origin="t")
    assert isinstance(answer, Silent)


def test_of_a_delta_only_a_revocation_counts(zoo: Zoo) -> None:
    delta = ((x509.DeltaCRLIndicator(1), True),)
    leaf, issuer = zoo.clinician.certificate, zoo.intermediate.certificate
    empty = judge_crl(zoo.intermediate.crl(extra=delta), leaf, issuer, NOW, origin="t")
    listed = judge_crl(zoo.intermediate.crl({leaf.serial: NOW - DAY}, extra=delta), leaf, issuer, NOW, origin="t")
    removed = zoo.intermediate.crl({leaf.serial: NOW - DAY}, reason=x509.ReasonFlags.remove_from_crl, extra=delta)
    assert isinstance(empty, Silent)
    assert isinstance(listed, Revoked)
    assert isinstance(judge_crl(removed, leaf, issuer, NOW, origin="t"), Silent)


def test_a_serial_is_found_among_thousands_and_never_by_chance(zoo: Zoo) -> None:
    """Short serials occur inside other entries: only a whole entry counts."""
    revoked = dict.fromkeys(range(1, 3000, 2), NOW - DAY) | {0x0201050201 << 64: NOW - DAY}
    read = crl.parse_crl(zoo.intermediate.crl(revoked))
    for serial in range(1, 400):
        assert (crl.entry_of(read, serial) is not None) == (serial in revoked), serial
    assert crl.entry_of(read, 0x0201050201 << 64) is not None
    assert crl.entry_of(read, 0x17) is not None  # the tag of UTCTime, everywhere in the list


def test_reason_and_invalidity_date_are_read(zoo: Zoo) -> None:
    data = zoo.intermediate.crl({5: NOW - DAY}, reason=x509.ReasonFlags.key_compromise, invalid_since=NOW - 3 * DAY)
    entry = crl.entry_of(crl.parse_crl(data), 5)
    assert entry is not None
    assert (entry.reason, entry.revoked_at, entry.invalid_since) == ("keyCompromise", NOW - DAY, NOW - 3 * DAY)


@settings(max_examples=150, deadline=None)
@given(draw=st.data())
def test_readers_of_status_raise_only_service_errors(zoo: Zoo, draw: st.DataObject) -> None:
    good = draw.draw(st.sampled_from(_evidence(zoo)))
    at = draw.draw(st.integers(0, len(good) - 1))
    data = good[:at] + draw.draw(st.binary(max_size=4)) + good[at + draw.draw(st.integers(0, 4)) :]
    for read in (crl.parse_crl, ocsp.parse_response):
        try:
            read(data)
        except ServiceError:
            continue
    leaf, issuer = zoo.clinician.certificate, zoo.intermediate.certificate
    for judge in (judge_crl, judge_ocsp):
        assert isinstance(judge(data, leaf, issuer, NOW, origin="t"), Good | Revoked | Silent)


_made: list[bytes] = []


def _evidence(zoo: Zoo) -> list[bytes]:
    if not _made:
        responder = zoo.intermediate.ocsp_responder()
        _made.extend(
            (
                zoo.intermediate.crl({zoo.clinician.certificate.serial: NOW - DAY}),
                ocsp_answer(zoo.intermediate, zoo.clinician, responder=responder),
                ocsp_answer(zoo.intermediate, zoo.clinician, revoked_at=NOW - DAY),
            )
        )
    return _made


# OCSP


def test_an_answer_to_another_question_is_silent(zoo: Zoo) -> None:
    plain = ocsp_answer(zoo.intermediate, zoo.clinician)
    leaf, issuer = zoo.clinician.certificate, zoo.intermediate.certificate
    read = replace(ocsp.parse_response(plain), nonce=b"one")
    assert isinstance(ocsp.evaluate(read, leaf, issuer, NOW, origin="t", nonce=b"two"), Silent)
    assert isinstance(ocsp.evaluate(read, leaf, issuer, NOW, origin="t", nonce=b"one"), Good)
    assert isinstance(judge_ocsp(plain, leaf, issuer, NOW, origin="t", nonce=b"two"), Good)


def test_an_error_of_the_responder_is_silence(zoo: Zoo) -> None:
    leaf, issuer = zoo.clinician.certificate, zoo.intermediate.certificate
    for code in range(1, 7):
        answer = judge_ocsp(der.sequence(der.integer(code, der.ENUMERATED)), leaf, issuer, NOW, origin="t")
        assert answer == Silent(origin="t", detail=f"OCSP: the responder answered with error {code}")


def test_a_tampered_answer_is_silent(zoo: Zoo) -> None:
    answer = ocsp_answer(zoo.intermediate, zoo.clinician, revoked_at=NOW - DAY)
    tampered = answer[:-1] + bytes((answer[-1] ^ 1,))
    leaf, issuer = zoo.clinician.certificate, zoo.intermediate.certificate
    assert isinstance(judge_ocsp(tampered, leaf, issuer, NOW, origin="t"), Silent)


def test_a_request_is_what_a_responder_reads(zoo: Zoo) -> None:
    from cryptography.x509 import ocsp as other

    request = other.load_der_ocsp_request(ocsp.build_request(zoo.clinician.certificate, zoo.intermediate.certificate))
    assert request.serial_number == zoo.clinician.certificate.serial


# A deployment's folder


@pytest.fixture
def home(tmp_path: Path, zoo: Zoo) -> Path:
    public = tmp_path / "public"
    for folder in ("ca", "crl/persons", "crl/root"):
        (public / folder).mkdir(parents=True)
    (public / "root.pem").write_text(zoo.root.pem)
    (public / "ca" / "persons.cer").write_bytes(zoo.intermediate.certificate.der)
    (public / "crl" / "root" / "0.crl").write_bytes(zoo.root.crl())
    (public / "crl" / "persons" / "3.crl").write_bytes(
        zoo.intermediate.crl(extra=(scope(f"{BASE}/crl/persons/3.crl"),))
    )
    return tmp_path


def local_context(home: Path) -> VerificationContext:
    trust = load_trust(home)
    status = LocalStatus(folder=home / "public" / "crl")
    return VerificationContext(
        at=NOW, anchors=trust.anchors, intermediates=trust.intermediates, status_sources=(status,)
    )


def test_a_folder_alone_is_enough_to_verify(home: Path, zoo: Zoo) -> None:
    holder = sharded(zoo.intermediate, f"{BASE}/crl/persons/3.crl")
    data = sign_jades(b"{}", holder.key, (holder.certificate,), signed_at=SIGNED_AT)
    context = local_context(home)
    expect(verify_bytes(data, context), PASSED)
    shard = home / "public" / "crl" / "persons" / "3.crl"
    revoked = {holder.certificate.serial: NOW - DAY}
    shard.write_bytes(zoo.intermediate.crl(revoked, extra=(scope(f"{BASE}/crl/persons/3.crl"),), number=2))
    os.utime(shard, ns=(1, 1))
    expect(verify_bytes(data, context), UNDECIDED, "REVOKED_NO_POE")


def test_a_missing_shard_is_silence_not_a_yes(home: Path, zoo: Zoo) -> None:
    holder = sharded(zoo.intermediate, f"{BASE}/crl/persons/9.crl")
    data = sign_jades(b"{}", holder.key, (holder.certificate,), signed_at=SIGNED_AT)
    expect(verify_bytes(data, local_context(home)), UNDECIDED, "TRY_LATER")


def test_addresses_in_certificates_never_leave_the_folder(home: Path, zoo: Zoo) -> None:
    (home / "secret.crl").write_bytes(zoo.intermediate.crl())
    status = LocalStatus(folder=home / "public" / "crl")
    for url in (f"{BASE}/crl/../../secret.crl", f"{BASE}/crl/persons/..%2f..%2fsecret.crl", f"{BASE}/crl/./3.crl"):
        holder = sharded(zoo.intermediate, url)
        named = list(status._candidates(holder.certificate))
        assert all((home / "public" / "crl") in path.resolve().parents for path in named)


def test_identifiers_mean_what_the_deployment_says(home: Path) -> None:
    assert load_trust(home).reading(HEALTH_CLUSTER) == HEALTH_CLUSTER
    (home / "mohr.toml").write_text('oid_arc = "1.3.6.1.4.1.32473.9"\n')
    (home / "identities.toml").write_text(
        'format = "mohr-identities/1"\nname = "own"\nversion = 1\nextends = "pilot"\n[institutions.spa]\n'
        'number = 130\ntitle_fa = "آبگرم"\ntitle_en = "Spa"\n',
        encoding="utf-8",
    )
    found = load_trust(home).reading(HEALTH_CLUSTER)
    assert (found.name, found.arc.arc) == ("health-cluster", "1.3.6.1.4.1.32473.9")
    assert found.identities.slug_of("1.3.6.1.4.1.32473.9.3.130", found.arc) == "spa"
    of_others = parse_policy(b'{"arc": "1.3.6.1.4.1.32473.7"}')
    assert load_trust(home).reading(of_others) is of_others
    for damaged in ("[[[", "a = " + "[" * 30_000):
        (home / "mohr.toml").write_text(damaged)
        assert load_trust(home).arc == OidArc()


def test_a_folder_without_a_root_is_no_deployment(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        load_trust(tmp_path)


# The network


@contextmanager
def serving(routes: dict[str, bytes]) -> Iterator[tuple[str, list[str]]]:
    """Serve fixed answers on loopback; yield the base address and the paths asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def _answer(self) -> None:
            asked.append(self.path)
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = routes.get(self.path)
            if self.path == "/moved":
                self.send_response(302)
                self.send_header("Location", "/crl")
                self.end_headers()
                return
            self.send_response(200 if body is not None else 404)
            if self.path.startswith("/ocsp"):
                self.send_header("Content-Type", "application/ocsp-response")
            self.end_headers()
            self.wfile.write(body or b"")

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Stay quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def pointers(ocsp_url: str | None, issuer_url: str | None, crl_url: str | None) -> Any:
    access = []
    for method, url in (
        (AuthorityInformationAccessOID.OCSP, ocsp_url),
        (AuthorityInformationAccessOID.CA_ISSUERS, issuer_url),
    ):
        if url is not None:
            access.append(x509.AccessDescription(method, x509.UniformResourceIdentifier(url)))
    found: list[tuple[x509.ExtensionType, bool]] = [(admission(), False)]
    if access:
        found.append((x509.AuthorityInformationAccess(access), False))
    return (*found, point(crl_url)) if crl_url else tuple(found)


def online_context(zoo: Zoo, online: OnlineStatus, **changes: Any) -> VerificationContext:
    root_only = (replace(zoo.status(), crls=(zoo.root.crl(),)), online)
    members: dict[str, Any] = {
        "status_sources": root_only,
        "issuer_sources": (online,),
        "offline": False,
        "intermediates": (),
    }
    return zoo.context(**(members | changes))


def test_status_and_issuer_come_from_the_certificates_own_addresses(zoo: Zoo) -> None:
    routes: dict[str, bytes] = {"/ca.cer": zoo.intermediate.certificate.der}
    with serving(routes) as (base, asked):
        holder = make_clinician(zoo.intermediate, extra=pointers(f"{base}/ocsp", f"{base}/ca.cer", f"{base}/crl"))
        data = sign_jades(b"{}", holder.key, (holder.certificate,), signed_at=SIGNED_AT)
        routes["/ocsp"] = ocsp_answer(zoo.intermediate, holder)
        expect(verify_bytes(data, online_context(zoo, OnlineStatus())), PASSED)
        issuer, short, whole = asked
        assert (issuer, short.startswith("/ocsp/"), whole) == ("/ca.cer", True, "/ocsp")
        routes[short] = routes.pop("/ocsp")
        expect(verify_bytes(data, online_context(zoo, OnlineStatus())), PASSED)
        assert asked[3:] == ["/ca.cer", short]
        routes.pop(short)
        routes["/crl"] = zoo.intermediate.crl({holder.certificate.serial: NOW - DAY})
        expect(verify_bytes(data, online_context(zoo, OnlineStatus())), UNDECIDED, "REVOKED_NO_POE")


def test_pem_issuers_are_read_too_and_offline_asks_nobody(zoo: Zoo) -> None:
    with serving({"/ca.pem": pem(zoo.intermediate.certificate.der).encode()}) as (base, asked):
        holder = make_clinician(zoo.intermediate, extra=pointers(None, f"{base}/ca.pem", None))
        data = sign_jades(b"{}", holder.key, (holder.certificate,), signed_at=SIGNED_AT)
        offline = online_context(zoo, OnlineStatus(), offline=True)
        expect(verify_bytes(data, offline), UNDECIDED, "NO_CERTIFICATE_CHAIN_FOUND")
        assert asked == []
        expect(verify_bytes(data, online_context(zoo, OnlineStatus())), UNDECIDED, "TRY_LATER")
        assert asked == ["/ca.pem"]


def test_nobody_is_asked_about_a_certificate_that_nobody_trusts(zoo: Zoo) -> None:
    with serving({}) as (base, asked):
        holder = make_clinician(zoo.intermediate, extra=pointers(f"{base}/ocsp", None, f"{base}/crl"))
        data = sign_jades(b"{}", holder.key, (holder.certificate,), signed_at=SIGNED_AT)
        context = online_context(zoo, OnlineStatus(), anchors=())
        expect(verify_bytes(data, context), UNDECIDED, "NO_CERTIFICATE_CHAIN_FOUND")
        assert asked == []


SILENT_ADDRESSES: dict[str, Callable[[str], str]] = {
    "not-found": lambda base: f"{base}/nowhere",
    "redirect": lambda base: f"{base}/moved",
    "too-large": lambda base: f"{base}/large",
    "garbage": lambda base: f"{base}/garbage",
    "no-http": lambda _base: "ldap://directory.invalid/crl",
    "file": lambda _base: "file:///etc/hostname",
    "refused": lambda _base: "http://127.0.0.1:1/crl",
    "no-address": lambda _base: "http://[",
}


@pytest.mark.parametrize("name", SILENT_ADDRESSES)
def test_an_address_that_does_not_answer_is_silence(zoo: Zoo, name: str) -> None:
    routes = {"/large": bytes(200_000), "/garbage": b"<html>", "/crl": zoo.intermediate.crl()}
    with serving(routes) as (base, asked):
        url = SILENT_ADDRESSES[name](base)
        holder = make_clinician(zoo.intermediate, extra=pointers(url, url, url))
        answers = list(OnlineStatus().answers(holder.certificate, zoo.intermediate.certificate, NOW))
        assert OnlineStatus().issuers(holder.certificate) == ()
        assert "/crl" not in asked
    assert answers
    assert all(isinstance(answer, Silent) for answer in answers)


def test_a_used_up_budget_is_silence(zoo: Zoo) -> None:
    with serving({"/crl": zoo.intermediate.crl()}) as (base, asked):
        holder = make_clinician(zoo.intermediate, extra=pointers(None, None, f"{base}/crl"))
        (answer,) = OnlineStatus(budget=0).answers(holder.certificate, zoo.intermediate.certificate, NOW)
        assert isinstance(answer, Silent)
        assert asked == []
