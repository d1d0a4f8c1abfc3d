"""What our responder makes of requests: one table of requests with one thing special about each.

No standard suite exists for RFC 6960, 5019 and 9654; these are the cases of which deployed software disagrees.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pytest
from cryptography.x509 import ocsp

from ca.status.ocsp import MAX_CERTIFICATES, OCSP_NONCE
from pki import der, oids
from pki.certificates import Certificate, read_extensions
from tests.ca.status.test_ocsp import extension, request
from tests.ca.world import World

ACCEPTABLE_RESPONSES: Final = "1.3.6.1.5.5.7.48.1.4"
SERVICE_LOCATOR: Final = "1.3.6.1.5.5.7.48.1.7"
PREFERRED_ALGORITHMS: Final = "1.3.6.1.5.5.7.48.1.8"
NULL: Final = der.null()
ANSWERED, MALFORMED, UNAUTHORIZED = (
    ocsp.OCSPResponseStatus.SUCCESSFUL,
    ocsp.OCSPResponseStatus.MALFORMED_REQUEST,
    ocsp.OCSPResponseStatus.UNAUTHORIZED,
)


@dataclass(kw_only=True)
class Case:
    """A certificate that is good, and how it may be asked about."""

    world: World
    serial: int

    def cert_id(
        self,
        *,
        name: str = "sha1",
        hash_oid: str = oids.SHA1,
        parameters: bytes = NULL,
        authority: str = "persons",
        key_of: str | None = None,
        serial: int | None = None,
    ) -> bytes:
        issuer, key = (
            Certificate.parse(self.world.hierarchy.certificate(one)) for one in (authority, key_of or authority)
        )
        bits = der.parse(key.spki_der).sequence()[1].bits()
        digests = (der.octet_string(hashlib.new(name, part).digest()) for part in (issuer.subject_der, bits))
        algorithm = der.sequence(der.oid(hash_oid), parameters)
        return der.sequence(algorithm, *digests, der.integer(self.serial if serial is None else serial))

    def asked(self, *extensions: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
        return request(self.cert_id(), extensions=extensions, before=before, after=after)

    def answer(self, data: bytes) -> ocsp.OCSPResponse:
        return ocsp.load_der_ocsp_response(self.world.authority.ocsp(data))


@pytest.fixture(scope="module")
def case(shared_world: World) -> Case:
    return Case(world=shared_world, serial=int(shared_world.issue().serial_hex, 16))


def nonce(octets: int, *, critical: bool = False) -> bytes:
    return extension(OCSP_NONCE, der.octet_string(b"n" * octets), critical=critical)


def single_with(case: Case, one: bytes) -> bytes:
    asked = der.sequence(case.cert_id(), der.context(0, der.sequence(one)))
    return der.sequence(der.sequence(der.sequence(asked)))


SIGNED: Final = der.context(0, der.sequence(der.sequence(der.oid(oids.ECDSA_WITH_SHA256)), der.bit_string(b"value")))
REQUESTOR: Final = der.context(1, der.context(4, der.sequence()))

Request = Callable[[Case], bytes]
REQUESTS: Final[dict[str, tuple[Request, ocsp.OCSPResponseStatus]]] = {
    "SHA-1 with NULL": (lambda c: request(c.cert_id()), ANSWERED),
    "SHA-1 without parameters": (lambda c: request(c.cert_id(parameters=b"")), ANSWERED),
    "SHA-256 with NULL": (lambda c: request(c.cert_id(name="sha256", hash_oid=oids.SHA256)), ANSWERED),
    "SHA-256 without parameters": (
        lambda c: request(c.cert_id(name="sha256", hash_oid=oids.SHA256, parameters=b"")),
        ANSWERED,
    ),
    "SHA-384, which the delegate may not answer": (
        lambda c: request(c.cert_id(name="sha384", hash_oid=oids.SHA384)),
        UNAUTHORIZED,
    ),
    "another key of the issuer's name": (lambda c: request(c.cert_id(key_of="systems")), UNAUTHORIZED),
    "the root": (lambda c: request(c.cert_id(authority="root")), UNAUTHORIZED),
    "two authorities": (lambda c: request(c.cert_id(), c.cert_id(authority="systems")), UNAUTHORIZED),
    "one certificate twice": (lambda c: request(c.cert_id(), c.cert_id()), ANSWERED),
    "two spellings of one certificate": (lambda c: request(c.cert_id(), c.cert_id(parameters=b"")), ANSWERED),
    "as many as may be": (lambda c: request(*[c.cert_id()] * MAX_CERTIFICATES), ANSWERED),
    "one more": (lambda c: request(*[c.cert_id()] * (MAX_CERTIFICATES + 1)), MALFORMED),
    "none": (lambda _: request(), MALFORMED),
    "serial number 0": (lambda c: request(c.cert_id(serial=0)), ANSWERED),
    "a serial number of 21 octets": (lambda c: request(c.cert_id(serial=1 << 160)), ANSWERED),
    "a serial number of 33 octets": (lambda c: request(c.cert_id(serial=1 << 260)), MALFORMED),
    "a signature that nobody checks": (lambda c: c.asked(before=REQUESTOR, after=SIGNED), ANSWERED),
    "a requestor without a signature": (lambda c: c.asked(before=REQUESTOR), ANSWERED),
    "version 1": (lambda c: c.asked(before=der.context(0, der.integer(0))), ANSWERED),
    "version 2": (lambda c: c.asked(before=der.context(0, der.integer(1))), MALFORMED),
    "preferred algorithms": (
        lambda c: c.asked(
            extension(PREFERRED_ALGORITHMS, der.sequence(der.sequence(der.sequence(der.oid("1.2.840.113549.1.1.11")))))
        ),
        ANSWERED,
    ),
    "acceptable kinds of response": (lambda c: c.asked(extension(ACCEPTABLE_RESPONSES, der.sequence())), ANSWERED),
    "a service locator": (lambda c: single_with(c, extension(SERVICE_LOCATOR, der.sequence())), ANSWERED),
    "an unknown critical extension": (lambda c: c.asked(extension("1.2.3.4", NULL, critical=True)), MALFORMED),
    "an unknown critical extension of one": (
        lambda c: single_with(c, extension("1.2.3.4", NULL, critical=True)),
        MALFORMED,
    ),
    "indefinite lengths": (lambda c: b"\x30\x80" + c.asked()[2:] + b"\x00\x00", MALFORMED),
    "octets behind the end": (lambda c: c.asked() + b"\x00", MALFORMED),
    "cut short": (lambda c: c.asked()[:-1], MALFORMED),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_is_answered_by_its_kind(case: Case, name: str) -> None:
    make, status = REQUESTS[name]
    data = make(case)
    answer = case.answer(data)
    assert answer.response_status is status
    if status is ANSWERED:
        asked = [one.sequence()[0].raw for one in requests_of(data)]
        told = [one.sequence()[0].raw for one in singles_of(case.world.authority.ocsp(data))]
        assert told == asked  # the very octets: parameters that were left out are not put in


def requests_of(data: bytes) -> tuple[der.Node, ...]:
    fields = der.parse(data).sequence()[0].sequence()
    return next(field for field in fields if field.tag == der.SEQUENCE).sequence()


def response_data(response: bytes) -> tuple[der.Node, ...]:
    basic = der.parse(response).sequence()[1].inner().sequence()[1].inner()
    return basic.sequence()[0].sequence()


def singles_of(response: bytes) -> tuple[der.Node, ...]:
    return response_data(response)[2].sequence()


@pytest.mark.parametrize("critical", [False, True])
@pytest.mark.parametrize("octets", [0, 1, 16, 32, 33, 128, 129])
def test_a_nonce_of_1_to_128_octets_is_echoed_uncritically_and_any_other_is_malformed(
    case: Case, octets: int, critical: bool
) -> None:
    data = case.asked(nonce(octets, critical=critical))
    if not 1 <= octets <= 128:
        assert case.answer(data).response_status is MALFORMED
        return
    fields = response_data(case.world.authority.ocsp(data))
    found = read_extensions(fields[3].expect(0xA1).inner())
    assert [*found] == [OCSP_NONCE]
    assert found[OCSP_NONCE].value == der.octet_string(b"n" * octets)
    assert not found[OCSP_NONCE].critical


def test_a_nonce_that_is_put_with_one_certificate_is_not_echoed(case: Case) -> None:
    response = case.world.authority.ocsp(single_with(case, nonce(32)))
    assert len(response_data(response)) == 3


def test_what_is_asked_about_several_is_told_in_the_order_of_the_question(case: Case) -> None:
    ids = (case.cert_id(serial=5), case.cert_id(), case.cert_id(serial=6))
    answers = list(case.answer(request(*ids)).responses)
    assert [one.serial_number for one in answers] == [5, case.serial, 6]
    assert [one.certificate_status.name for one in answers] == ["UNKNOWN", "GOOD", "UNKNOWN"]


def test_responder_is_named_by_its_key_and_shows_its_certificate_alone(case: Case) -> None:
    answer = case.answer(case.asked(nonce(32)))
    (delegate,) = answer.certificates
    assert answer.responder_name is None
    assert answer.responder_key_hash == Certificate.parse(case.world.hierarchy.certificate("ocsp-persons")).spki_sha1
    assert delegate.subject.rfc4514_string().startswith("CN=Mohr OCSP")
