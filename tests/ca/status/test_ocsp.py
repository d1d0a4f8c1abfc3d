from __future__ import annotations

import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from hypothesis import given
from hypothesis import strategies as st

from ca.status.ocsp import (
    MAX_CERTIFICATES,
    MAX_REQUEST_OCTETS,
    OCSP_NONCE,
    ResponseStatus,
    error_response,
    issuer_prefix,
    names_issuer,
    parse_request,
    usual_cert_id,
)
from pki import der, oids
from pki.certificates import Certificate
from pki.errors import InvalidInput, ServiceError
from tests.ca.conftest import Ceremony

SHA1_NULL = der.sequence(der.oid(oids.SHA1), der.null())


def cert_id(serial: int = 7, algorithm: bytes = SHA1_NULL) -> bytes:
    return der.sequence(algorithm, der.octet_string(b"n" * 20), der.octet_string(b"k" * 20), der.integer(serial))


def extension(kind: str, value: bytes, *, critical: bool = False) -> bytes:
    return der.sequence(der.oid(kind), b"\x01\x01\xff" if critical else b"", der.octet_string(value))


def request(*ids: bytes, extensions: tuple[bytes, ...] = (), before: bytes = b"", after: bytes = b"") -> bytes:
    """Write an OCSPRequest by hand: `ids` are whole Request values."""
    listed = der.sequence(*(der.sequence(one) for one in ids))
    tail = (der.context(2, der.sequence(*extensions)),) if extensions else ()
    return der.sequence(der.sequence(before, listed, *tail), after)


def nonce(value: bytes) -> bytes:
    return extension(OCSP_NONCE, der.octet_string(value))


def test_a_plain_request_is_read() -> None:
    read = parse_request(request(cert_id(99)))
    (asked,) = read.cert_ids
    assert (asked.serial, asked.hash_oid, asked.raw, read.nonce) == (99, oids.SHA1, cert_id(99), None)


@pytest.mark.parametrize("size", [1, 16, 32, 33, 127, 128])
def test_a_nonce_of_1_to_128_octets_is_read(size: int) -> None:
    assert parse_request(request(cert_id(), extensions=(nonce(b"n" * size),))).nonce == b"n" * size


@pytest.mark.parametrize("size", [0, 129, 500])
def test_a_nonce_of_another_size_makes_the_request_malformed(size: int) -> None:
    with pytest.raises(InvalidInput):
        parse_request(request(cert_id(), extensions=(nonce(b"n" * size),)))


def test_a_nonce_in_the_wrong_place_is_no_nonce() -> None:
    single = der.sequence(cert_id(), der.context(0, der.sequence(nonce(b"n" * 32))))
    assert parse_request(der.sequence(der.sequence(der.sequence(single)))).nonce is None


def test_a_nonce_that_is_not_wrapped_twice_is_malformed() -> None:
    with pytest.raises(InvalidInput):
        parse_request(request(cert_id(), extensions=(extension(OCSP_NONCE, b"n" * 32),)))


def test_version_requestor_and_signature_are_read_over() -> None:
    name = der.context(1, der.context(4, der.sequence()))
    signed = der.context(0, der.sequence(der.sequence(), der.bit_string(b"s")))
    version = der.context(0, der.integer(0))
    assert parse_request(request(cert_id(), before=version + name, after=signed)).cert_ids[0].serial == 7


def test_unknown_extensions_are_read_over_unless_they_are_critical() -> None:
    harmless = extension("1.3.6.1.5.5.7.48.1.4", der.sequence())
    assert parse_request(request(cert_id(), extensions=(harmless,))).nonce is None
    with pytest.raises(InvalidInput, match="critical"):
        parse_request(request(cert_id(), extensions=(extension("1.2.3.4", der.null(), critical=True),)))


def test_a_critical_nonce_is_a_nonce() -> None:
    critical = extension(OCSP_NONCE, der.octet_string(b"n"), critical=True)
    assert parse_request(request(cert_id(), extensions=(critical,))).nonce == b"n"


BAD = {
    "empty": b"",
    "no sequence": der.null(),
    "an empty sequence": der.sequence(),
    "no request list": der.sequence(der.sequence()),
    "no certificate": request(),
    "too many certificates": request(*(cert_id(n) for n in range(MAX_CERTIFICATES + 1))),
    "version 2": request(cert_id(), before=der.context(0, der.integer(1))),
    "trailing octets": request(cert_id()) + b"\0",
    "a field too many": request(cert_id(), after=der.null()),
    "too large": b"\x30" * (MAX_REQUEST_OCTETS + 1),
    "a serial of 33 octets": request(cert_id(1 << 260)),
    "a CertID without a serial": request(der.sequence(SHA1_NULL, der.octet_string(b"n"), der.octet_string(b"k"))),
    "a CertID that is a number": request(der.integer(1)),
    "an algorithm that is a number": request(cert_id(algorithm=der.sequence(der.integer(1)))),
    "an empty algorithm": request(cert_id(algorithm=der.sequence())),
    "a critical single extension": der.sequence(
        der.sequence(
            der.sequence(
                der.sequence(cert_id(), der.context(0, der.sequence(extension("1.2.3", der.null(), critical=True))))
            )
        )
    ),
    "two nonces": request(cert_id(), extensions=(nonce(b"a"), nonce(b"b"))),
}


@pytest.mark.parametrize("name", BAD)
def test_a_malformed_request_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        parse_request(BAD[name])


@given(st.binary(max_size=120))
def test_reading_never_raises_anything_but_ours(data: bytes) -> None:
    with pytest.raises(ServiceError):
        parse_request(data)


@given(place=st.integers(0, 1000), change=st.integers(1, 255))
def test_a_changed_request_is_read_or_refused(place: int, change: int) -> None:
    data = bytearray(request(cert_id(), extensions=(nonce(b"n" * 32),)))
    data[place % len(data)] ^= change
    try:
        assert len(parse_request(bytes(data)).cert_ids) == 1
    except InvalidInput as error:
        assert error.code


@pytest.mark.parametrize("status", ResponseStatus)
def test_unsigned_answers_are_what_their_names_say(status: ResponseStatus) -> None:
    read = ocsp.load_der_ocsp_response(error_response(status))
    assert read.response_status.value == status


def test_our_usual_cert_id_is_the_clients(ceremony: Ceremony) -> None:
    issuer_der, leaf_der = ceremony.hierarchy.certificate("systems"), ceremony.hierarchy.certificate("tsa")
    issuer, leaf = x509.load_der_x509_certificate(issuer_der), x509.load_der_x509_certificate(leaf_der)
    asked = ocsp.OCSPRequestBuilder().add_certificate(leaf, issuer, hashes.SHA1()).build()  # noqa: S303 - as clients do
    (sent,) = parse_request(asked.public_bytes(Encoding.DER)).cert_ids
    certificate = Certificate.parse(issuer_der)
    assert sent.raw == usual_cert_id(issuer_prefix(certificate), leaf.serial_number)
    assert names_issuer(sent, certificate)


@pytest.mark.parametrize(("hash_oid", "name"), [(oids.SHA1, "sha1"), (oids.SHA256, "sha256"), (oids.SHA384, "sha384")])
def test_issuers_are_known_by_sha1_and_sha256(ceremony: Ceremony, hash_oid: str, name: str) -> None:
    issuer = Certificate.parse(ceremony.hierarchy.certificate("persons"))
    key_bits = der.parse(issuer.spki_der).sequence()[1].bits()

    def asked(name_hash: bytes, key_hash: bytes) -> bool:
        raw = der.sequence(
            der.sequence(der.oid(hash_oid)), der.octet_string(name_hash), der.octet_string(key_hash), der.integer(1)
        )
        return names_issuer(parse_request(request(raw)).cert_ids[0], issuer)

    good = (hashlib.new(name, issuer.subject_der).digest(), hashlib.new(name, key_bits).digest())
    assert asked(*good) is (hash_oid != oids.SHA384)
    assert not asked(good[0], b"x" * 20)
    assert not asked(b"x" * 20, good[1])
