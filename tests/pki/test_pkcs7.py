import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import load_der_pkcs7_certificates
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from pki import ber
from pki.errors import ErrorCode, InvalidInput
from pki.pkcs7 import certs_only, decode_body, encode_body
from tests.support.openssl import openssl

LIMIT = 300


def certificate(common_name: str) -> bytes:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime(2026, 11, 22, tzinfo=UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 5, now, now + timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


@pytest.mark.real
def test_openssl_prints_each_certificate(tmp_path: Path) -> None:
    names = ("leaf", "issuer", "root")
    (tmp_path / "p7").write_bytes(certs_only(map(certificate, names)))
    said = openssl("pkcs7", "-inform", "DER", "-in", tmp_path / "p7", "-print_certs", "-noout")
    assert said.returncode == 0, said.stderr
    assert {line.rpartition("= ")[2] for line in said.stdout.splitlines() if line.startswith("subject")} == set(names)
    (tmp_path / "body").write_bytes(encode_body((tmp_path / "p7").read_bytes()))
    assert openssl("base64", "-d", "-in", tmp_path / "body", "-out", tmp_path / "again").returncode == 0
    assert (tmp_path / "again").read_bytes() == (tmp_path / "p7").read_bytes()


def test_another_reader_finds_the_certificates_and_the_encoding_is_der() -> None:
    certificates = {certificate("one"), certificate("two")}
    wrapped = certs_only(certificates)
    assert {found.public_bytes(Encoding.DER) for found in load_der_pkcs7_certificates(wrapped)} == certificates
    assert ber.normalise(wrapped) == (wrapped, False)


def test_the_order_of_certificates_changes_nothing() -> None:
    one, two = certificate("one"), certificate("two")
    assert certs_only([one, two]) == certs_only([two, one])


@given(st.binary(min_size=1, max_size=LIMIT), st.data())
def test_a_body_survives_line_breaks_anywhere(data: bytes, draw: st.DataObject) -> None:
    text = base64.b64encode(data)
    breaks = draw.draw(st.lists(st.tuples(st.integers(0, len(text)), st.sampled_from([b"\n", b"\r\n", b"\r"]))))
    for place, line_break in breaks:
        text = text[:place] + line_break + text[place:]
    assert decode_body(text, LIMIT) == data
    assert decode_body(encode_body(data), LIMIT) == data


@given(st.binary(max_size=2 * LIMIT))
def test_what_is_read_is_the_only_way_to_write_it(body: bytes) -> None:
    try:
        data = decode_body(body, LIMIT)
    except InvalidInput as error:
        assert error.code in (ErrorCode.INPUT_MALFORMED, ErrorCode.INPUT_EMPTY, ErrorCode.INPUT_TOO_LARGE)
    else:
        assert base64.b64encode(data) == body.replace(b"\r", b"").replace(b"\n", b"")
        assert len(data) <= LIMIT


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", ErrorCode.INPUT_EMPTY),
        (b"\r\n\r\n", ErrorCode.INPUT_EMPTY),
        (b"AAAA BBBB", ErrorCode.INPUT_MALFORMED),
        (b"AAA", ErrorCode.INPUT_MALFORMED),
        (b"AAAA=", ErrorCode.INPUT_MALFORMED),
        (b"AA==AAAA", ErrorCode.INPUT_MALFORMED),
        (b"AB==", ErrorCode.INPUT_MALFORMED),
        (b"AA-_", ErrorCode.INPUT_MALFORMED),
        (b"AAA\xff", ErrorCode.INPUT_MALFORMED),
        (b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n", ErrorCode.INPUT_MALFORMED),
        (base64.b64encode(bytes(LIMIT + 1)), ErrorCode.INPUT_TOO_LARGE),
        (base64.b64encode(bytes(100 * LIMIT)), ErrorCode.INPUT_TOO_LARGE),
    ],
)
def test_what_is_no_base64_is_refused(body: bytes, code: ErrorCode) -> None:
    with pytest.raises(InvalidInput) as refusal:
        decode_body(body, LIMIT)
    assert refusal.value.code is code


def test_exactly_the_limit_is_read() -> None:
    for limit in (298, 299, 300):
        assert decode_body(base64.b64encode(bytes(limit)), limit) == bytes(limit)
        with pytest.raises(InvalidInput):
            decode_body(base64.b64encode(bytes(limit + 1)), limit)
