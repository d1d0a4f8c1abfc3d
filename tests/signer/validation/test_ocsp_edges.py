"""What a relying party makes of OCSP answers: one table of answers with one thing special about each.

No standard suite exists for RFC 6960, 5019 and 9654; these are the cases of which deployed software disagrees.
"""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from pki import der, oids
from signer.formats.jades import sign_jades
from signer.validation.answers import Good, Revoked, Silent, StatusAnswer
from signer.validation.status import judge_ocsp
from signer.validation.status_online import OnlineStatus
from signer.validation.verify import verify_bytes
from tests.signer.validation.expect import PASSED, UNDECIDED, expect
from tests.signer.validation.test_status import pointers
from tests.support.forge import flip
from tests.support.ocsp_forge import GOOD, NONCE, UNKNOWN, OcspForge, cert_hash, extension, revoked
from tests.support.pki import NOW, Holder, new_key
from tests.support.zoo import SIGNED_AT, Zoo, make_clinician

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
OCSP_SIGNING: Final = ExtendedKeyUsageOID.OCSP_SIGNING.dotted_string
Change = Callable[["Case"], dict[str, Any]]


@dataclass(kw_only=True)
class Case:
    """A world, and the delegate whose answer is judged."""

    zoo: Zoo
    delegate: Holder

    def forged(self, **changes: Any) -> bytes:
        members: dict[str, Any] = {
            "subject": self.zoo.clinician.certificate,
            "issuer": self.zoo.intermediate.certificate,
            "signer": self.delegate,
        }
        return OcspForge(**(members | changes)).build()

    def judged(self, data: bytes, **changes: Any) -> StatusAnswer:
        leaf, issuer = self.zoo.clinician.certificate, self.zoo.intermediate.certificate
        return judge_ocsp(data, leaf, issuer, NOW, origin="t", **changes)

    def responder(self, **changes: Any) -> Holder:
        members: dict[str, Any] = {
            "usage": ("digital_signature",),
            "extended": (OCSP_SIGNING,),
            "extra": ((x509.OCSPNoCheck(), False),),
        }
        return self.zoo.intermediate.issue("Test OCSP", **(members | changes))


@pytest.fixture(scope="module")
def case(zoo: Zoo) -> Case:
    return Case(zoo=zoo, delegate=zoo.intermediate.ocsp_responder())


def other_answer(**changes: Any) -> Change:
    return lambda _case: changes


def by(**changes: Any) -> Change:
    """Have another delegate sign, of whom one thing is special."""
    return lambda case: {"signer": case.responder(**changes)}


def hashed(name: str, hash_oid: str, parameters: bytes) -> Change:
    return other_answer(hash_name=name, hash_oid=hash_oid, parameters=parameters)


ACCEPTED: Final[dict[str, Change]] = {
    "as usual": other_answer(),
    "SHA-1 with NULL": hashed("sha1", oids.SHA1, der.null()),
    "SHA-1 without parameters": hashed("sha1", oids.SHA1, b""),
    "SHA-256 without parameters": hashed("sha256", oids.SHA256, b""),
    "SHA-384": hashed("sha384", oids.SHA384, der.null()),
    "responder named by name": other_answer(by_name=True),
    "signed by the issuer, by key": lambda case: {"signer": case.zoo.intermediate, "certificates": ()},
    "signed by the issuer, by name": lambda case: {
        "signer": case.zoo.intermediate,
        "certificates": (),
        "by_name": True,
    },
    "the issuer's certificate is shown too": lambda case: {
        "certificates": (case.zoo.intermediate.certificate, case.delegate.certificate)
    },
    "certHash": lambda case: {"single_extensions": [cert_hash(case.zoo.clinician.certificate.der)]},
    "certHash by SHA-512": lambda case: {
        "single_extensions": [cert_hash(case.zoo.clinician.certificate.der, name="sha512", hash_oid=oids.SHA512)]
    },
    "no certHash": other_answer(single_extensions=()),
    "no nextUpdate": other_answer(next_update=None),
    "thisUpdate five minutes ahead": other_answer(this_update=NOW + 5 * MINUTE, produced_at=NOW + 5 * MINUTE),
    "produced long after thisUpdate": other_answer(this_update=NOW - 3 * HOUR, produced_at=NOW),
    "produced a little before thisUpdate": other_answer(produced_at=NOW - 9 * MINUTE),
    "a nonce that nobody asked for": other_answer(extensions=[extension(NONCE, der.octet_string(b"n" * 32))]),
    "an unknown extension": other_answer(extensions=[extension("1.2.3.4", der.null())]),
    "an unknown extension of the one answer": other_answer(single_extensions=[extension("1.2.3.4", der.null())]),
    "a delegate without nocheck": by(extra=()),
    "a delegate that has ended since": by(not_before=NOW - DAY, not_after=NOW - MINUTE),
    "a delegate with other purposes beside": by(extended=(oids.EKU_TIME_STAMPING, OCSP_SIGNING)),
    "a delegate with nonRepudiation alone": by(usage=("content_commitment",)),
    "the issuer renewed its delegate's key": by(key=new_key()),
}
REFUSED: Final[dict[str, tuple[Change, str]]] = {
    "another serial number": (other_answer(serial=7), "about another certificate"),
    "another issuer's key, as after a renewal": (
        lambda case: {"issuer_key": case.zoo.root.certificate},
        "about another certificate",
    ),
    "MD5": (hashed("md5", "1.2.840.113549.2.5", der.null()), "about another certificate"),
    "SHA-1 called SHA-256": (hashed("sha1", oids.SHA256, der.null()), "about another certificate"),
    "certHash of another certificate": (
        lambda case: {"single_extensions": [cert_hash(case.delegate.certificate.der)]},
        "certHash",
    ),
    "certHash by an unknown algorithm": (
        lambda case: {
            "single_extensions": [cert_hash(case.zoo.clinician.certificate.der, name="md5", hash_oid="1.2.3")]
        },
        "certHash",
    ),
    "unknown": (other_answer(status=UNKNOWN), "does not know the certificate"),
    "good and unknown at once": (other_answer(more_statuses=(UNKNOWN,)), "does not know the certificate"),
    "thisUpdate an hour ahead": (other_answer(this_update=NOW + HOUR, produced_at=NOW + HOUR), "in the future"),
    "nextUpdate before thisUpdate": (other_answer(next_update=NOW - HOUR), "contradict"),
    "thisUpdate long after producedAt": (other_answer(produced_at=NOW - HOUR), "contradict"),
    "a responder that is not the issuer's": (lambda case: {"signer": case.zoo.root}, "no responder"),
    "a delegate of another authority": (
        lambda case: {"signer": case.zoo.root.ocsp_responder()},
        "no responder",
    ),
    "another certificate of the issuer": (lambda case: {"signer": case.zoo.tsa}, "no responder"),
    "a delegate without its purpose": (by(extended=None), "no responder"),
    "a delegate for any purpose": (by(extended=("2.5.29.37.0",)), "no responder"),
    "a delegate whose key may not sign": (by(usage=("key_agreement",)), "no responder"),
    "a delegate that had ended": (by(not_after=NOW - HOUR), "no responder"),
    "a delegate that had not begun": (by(not_before=NOW + HOUR), "no responder"),
    "a delegate that does not come along": (other_answer(certificates=()), "no responder"),
    "a delegate named by another's key": (lambda case: {"named": case.zoo.tsa.certificate}, "no responder"),
    "a delegate named by another's name": (
        lambda case: {"named": case.zoo.root.certificate, "by_name": True},
        "no responder",
    ),
    "a signature that was changed": (other_answer(spoil=lambda value: flip(value, -1)), "signature does not hold"),
    "a critical extension": (
        other_answer(extensions=[extension("1.2.3.4", der.null(), critical=True)]),
        "critical extension",
    ),
    "a critical extension of the one answer": (
        other_answer(single_extensions=[extension("1.2.3.4", der.null(), critical=True)]),
        "critical extension",
    ),
}


def test_of_two_answers_about_one_certificate_the_worse_counts(case: Case) -> None:
    for first, second in ((GOOD, revoked()), (revoked(), GOOD)):
        assert isinstance(case.judged(case.forged(status=first, more_statuses=(second,))), Revoked)


@pytest.mark.parametrize("name", ACCEPTED)
def test_an_answer_that_counts(case: Case, name: str) -> None:
    answer = case.judged(case.forged(**ACCEPTED[name](case)))
    assert isinstance(answer, Good), answer
    no = case.judged(case.forged(**ACCEPTED[name](case) | {"status": revoked(reason=6)}))
    assert isinstance(no, Revoked)
    assert no.on_hold


@pytest.mark.parametrize("name", REFUSED)
def test_an_answer_that_is_silence(case: Case, name: str) -> None:
    change, detail = REFUSED[name]
    answer = case.judged(case.forged(**change(case)))
    assert isinstance(answer, Silent)
    assert detail in answer.detail


@pytest.mark.parametrize("size", [1, 16, 32, 33, 128, 129])
def test_a_nonce_is_compared_whatever_its_size(case: Case, size: int) -> None:
    asked = der.octet_string(b"n" * size)
    same = case.forged(extensions=[extension(NONCE, asked)])
    other = case.forged(extensions=[extension(NONCE, der.octet_string(b"o" * size))])
    longer = case.forged(extensions=[extension(NONCE, der.octet_string(b"n" * (size + 1)))])
    assert isinstance(case.judged(same, nonce=asked), Good)
    for data in (other, longer):
        assert isinstance(case.judged(data, nonce=asked), Silent)
    assert isinstance(case.judged(case.forged(), nonce=asked), Good)  # pre-signed: RFC 9654 §2.1 lets a client decide


# From an answer to a verdict


def verdict_of(case: Case, data: bytes, at: timedelta = timedelta(), **changes: Any) -> Any:
    zoo = case.zoo
    signed = sign_jades(b"{}", zoo.clinician.key, zoo.clinician.chain, signed_at=SIGNED_AT)
    status = zoo.status(zoo.root.crl(), responses=(data,))
    return verify_bytes(signed, zoo.context(status_sources=(status,), at=NOW + at, **changes))


@pytest.mark.parametrize(
    ("next_update", "later", "fresh"),
    [
        (NOW + HOUR, 59 * MINUTE, True),
        (NOW + HOUR, HOUR + 4 * MINUTE, True),  # the clocks may differ by as much
        (NOW + HOUR, HOUR + 6 * MINUTE, False),
        (None, -MINUTE, True),
        (None, 10 * MINUTE, False),  # newer knowledge is always there: this one is not for keeping
    ],
)
def test_an_answer_is_good_until_its_end_and_a_grace_for_clocks(
    case: Case, next_update: Any, later: timedelta, fresh: bool
) -> None:
    verdict = verdict_of(case, case.forged(next_update=next_update), later)
    expect(verdict, PASSED) if fresh else expect(verdict, UNDECIDED, "TRY_LATER")


@pytest.mark.parametrize("marked", [True, False])
def test_a_revoked_delegate_speaks_for_nobody_unless_it_is_not_to_be_asked_about(case: Case, marked: bool) -> None:
    delegate = case.responder(extra=((x509.OCSPNoCheck(), False),) if marked else ())
    zoo = case.zoo
    revoked_delegate = {delegate.certificate.serial: NOW - DAY}
    lists = zoo.intermediate.crl(revoked_delegate, this_update=NOW - 3 * HOUR, next_update=NOW - 2 * HOUR)
    signed = sign_jades(b"{}", zoo.clinician.key, zoo.clinician.chain, signed_at=SIGNED_AT)
    answer = case.forged(signer=delegate)
    status = zoo.status(zoo.root.crl(), lists, responses=(answer,))
    verdict = verify_bytes(signed, zoo.context(status_sources=(status,)))
    expect(verdict, PASSED) if marked else expect(verdict, UNDECIDED, "TRY_LATER")


# The network


@contextmanager
def answering(status: int, body: bytes, content_type: str, delay: threading.Event | None = None) -> Iterator[str]:
    """Answer every request alike on loopback; with `delay`, once that is set."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if delay is not None:
                delay.wait(30)
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST  # noqa: N815 - as the base class names it

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Stay quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/ocsp"
    finally:
        if delay is not None:
            delay.set()
        server.shutdown()
        server.server_close()
        thread.join()


HTTP: Final[dict[str, tuple[int, bytes | None, str, bool]]] = {
    "as usual": (200, None, "application/ocsp-response", True),
    "without a media type of its own": (200, None, "application/octet-stream", True),
    "a page": (200, b"<html>", "text/html", False),
    "nothing": (200, b"", "application/ocsp-response", False),
    "tryLater": (200, bytes.fromhex("30030a0103"), "application/ocsp-response", False),
    "unauthorized": (200, bytes.fromhex("30030a0106"), "application/ocsp-response", False),
    "successful without a response": (200, bytes.fromhex("30030a0100"), "application/ocsp-response", False),
    "an error with an answer": (500, None, "application/ocsp-response", False),
    "not found": (404, b"", "text/plain", False),
    "busy": (503, b"", "text/plain", False),
    "an answer that is cut short": (200, b"\x30\x82\x01", "application/ocsp-response", False),
}


@pytest.mark.parametrize("name", HTTP)
def test_what_http_makes_of_an_answer(zoo: Zoo, name: str) -> None:
    status, body, content_type, good = HTTP[name]
    intermediate = zoo.intermediate
    held = make_clinician(intermediate)
    delegate = intermediate.ocsp_responder()
    forge = OcspForge(subject=held.certificate, issuer=intermediate.certificate, signer=delegate)
    with answering(status, forge.build() if body is None else body, content_type) as url:
        holder = make_clinician(intermediate, serial=held.certificate.serial, extra=pointers(url, None, None))
        (answer,) = OnlineStatus().answers(holder.certificate, intermediate.certificate, NOW)
    assert isinstance(answer, Good if good else Silent)


@pytest.mark.parametrize(("next_update", "age", "answers"), [(None, MINUTE, 1), (None, HOUR, 2), (HOUR, 2 * HOUR, 2)])
def test_whoever_got_an_answer_that_is_over_goes_on_asking(
    zoo: Zoo, next_update: timedelta | None, age: timedelta, answers: int
) -> None:
    intermediate, subject, then = zoo.intermediate, make_clinician(zoo.intermediate).certificate, NOW - age
    forge = OcspForge(subject=subject, issuer=intermediate.certificate, signer=intermediate.ocsp_responder())
    forge.this_update = forge.produced_at = then
    forge.next_update = None if next_update is None else then + next_update
    with answering(200, forge.build(), "application/ocsp-response") as url:
        holder = make_clinician(intermediate, serial=subject.serial, extra=pointers(url, None, url))
        found = list(OnlineStatus().answers(holder.certificate, intermediate.certificate, NOW))
    assert len(found) == answers


def test_a_responder_that_is_too_slow_is_silent(zoo: Zoo) -> None:
    with answering(200, b"", "application/ocsp-response", threading.Event()) as url:
        holder = make_clinician(zoo.intermediate, extra=pointers(url, None, None))
        online = replace(OnlineStatus(), timeout=0.05)
        (answer,) = online.answers(holder.certificate, zoo.intermediate.certificate, NOW)
    assert isinstance(answer, Silent)
    assert "slow" in answer.detail or "no answer" in answer.detail
