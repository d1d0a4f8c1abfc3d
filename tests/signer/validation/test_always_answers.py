"""The verifier answers any bytes with a verdict that is one valid JSON line: random, mutated, truncated, nested."""

import hashlib
import json
import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pki.jose import b64url
from signer.formats.jades import add_signature_timestamp
from signer.parsers.detect import detect
from signer.parsers.model import Format
from signer.validation.reasons import REASONS, Reason
from signer.validation.report import ReportedFile, verdict_json
from signer.validation.report_html import report_html
from signer.validation.verdict import Indication
from signer.validation.verify import MAX_INPUT_OCTETS, verify_bytes
from tests.signer.validation.expect import FAILED, UNDECIDED, expect
from tests.support.zoo import SIGNED_AT, Zoo

FILE = ReportedFile(name="file", size=0, sha256="00" * 32)
OPENINGS: dict[str, bytes] = {
    "none": b"",
    "pdf": b"%PDF-1.7\n",
    "cms": bytes.fromhex("308006092a864886f70d010702a080"),
    "cms-short": bytes.fromhex("301006092a864886f70d010702"),
    "json": b'{"payload":"","protected":"',
    "json-signatures": b'{"signatures":[',
    "compact": b"eyJhbGciOiJFUzI1NiJ9.",
    "zip": b"PK\x03\x04",
    "xml": b'<?xml version="1.0"?><Signature xmlns="http://www.w3.org/2000/09/xmldsig#">',
    "cose": b"IRX1:",
    "cose-bare": b"\xd2\x84",
    "pem": b"-----BEGIN PKCS7-----\n",
}
lenient = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def answered(data: bytes, zoo: Zoo, content: bytes | None = None) -> Indication:
    verdict = verify_bytes(data, zoo.context(content=content))
    line = json.loads(json.dumps(verdict_json(verdict, "file"), ensure_ascii=False).encode())
    assert line["indication"] == verdict.indication
    assert line["format"] is None or line["format"] in {form.value for form in Format}
    assert report_html(verdict, FILE).endswith("</html>\n")
    if any(signature.indication is Indication.PASSED for signature in verdict.signatures):
        assert all(signature.crypto == "intact" for signature in verdict.signatures if signature.care == "valid")
    return verdict.indication


@pytest.mark.parametrize("name", OPENINGS)
@lenient
@given(tail=st.binary(max_size=300))
def test_any_bytes_after_any_opening_are_answered(zoo: Zoo, name: str, tail: bytes) -> None:
    assert answered(OPENINGS[name] + tail, zoo) is not Indication.PASSED


@pytest.mark.parametrize("form", ["cades", "jades", "pades", "jades_t", "token"])
@lenient
@given(draw=st.data())
def test_a_mutated_good_file_is_answered(
    zoo: Zoo, form: str, draw: st.DataObject, request: pytest.FixtureRequest
) -> None:
    good: bytes = request.getfixturevalue(form)
    at = draw.draw(st.integers(0, len(good) - 1))
    cut = draw.draw(st.integers(0, 8))
    inserted = draw.draw(st.binary(max_size=8))
    answered(good[:at] + inserted + good[at + cut :], zoo)


@pytest.mark.parametrize("form", ["cades", "jades"])
@lenient
@given(draw=st.data())
def test_a_single_flipped_bit_never_changes_what_passes(
    zoo: Zoo, form: str, content: bytes, draw: st.DataObject, request: pytest.FixtureRequest
) -> None:
    """Some bits carry nothing (an unsigned name, a tag of an optional field): then the same content is covered."""
    good: bytes = request.getfixturevalue(form)
    at, bit = draw.draw(st.integers(0, len(good) - 1)), draw.draw(st.integers(0, 7))
    verdict = verify_bytes(good[:at] + bytes((good[at] ^ 1 << bit,)) + good[at + 1 :], zoo.context())
    if verdict.indication is Indication.PASSED:
        covered = [item.sha256 for signature in verdict.signatures for item in signature.covered]
        assert covered == [hashlib.sha256(content).hexdigest()]


@pytest.fixture(scope="session")
def jades_t(zoo: Zoo, jades: bytes) -> bytes:
    return add_signature_timestamp(jades, zoo.stamper(SIGNED_AT))


@pytest.fixture(scope="session")
def token(zoo: Zoo) -> bytes:
    return zoo.stamper(SIGNED_AT).stamp(bytes(32))


def test_every_truncation_of_a_good_file_is_answered(zoo: Zoo, cades: bytes, jades: bytes) -> None:
    for good in (cades, jades):
        for size in range(0, len(good), 37):
            assert answered(good[:size], zoo) is not Indication.PASSED


def test_empty_and_plain_files_have_no_format(zoo: Zoo) -> None:
    for data in (
        b"",
        b"\n",
        b"plain text",
        b"{}",
        b'{"resourceType":"Bundle"}',
        b"<html/>",
        bytes(1000),
        b"\x30\x03\x02\x01\x01",
    ):
        verdict = verify_bytes(data, zoo.context())
        expect(verdict, UNDECIDED)
        assert (verdict.format, verdict.signatures) == (None, ())
        assert [finding.reason for finding in verdict.findings] == [Reason.FORMAT_UNKNOWN]


def _nested(opening: bytes, closing: bytes, depth: int) -> bytes:
    return opening * depth + closing * depth


BOMBS: dict[str, Callable[[], bytes]] = {
    "deep-json": lambda: b'{"protected":' + _nested(b"[", b"]", 400_000) + b"}",
    "wide-json": lambda: b'{"protected":[' + b"1," * 400_000 + b"1]}",
    "deep-json-header": lambda: b64url(b'{"alg":' + _nested(b'{"a":', b"}", 20_000) + b"}").encode() + b"..",
    "long-integer": lambda: b64url(b'{"alg":"ES256","iat":' + b"9" * 100_000 + b"}").encode() + b"..AA",
    "deep-ber": lambda: OPENINGS["cms"] + b"\x30\x80" * 200_000,
    "wide-ber": lambda: OPENINGS["cms"] + b"\x30\x80" + b"\x05\x00" * 2_000_000,
    "many-certificates": lambda: (
        OPENINGS["cms"] + b"\x30\x80\x02\x01\x01\x31\x00\x30\x00\xa0\x80" + b"\x30\x00" * 2_000_000
    ),
    "long-compact": lambda: b"ey" + b"A" * 8_000_000,
    "pdf-of-openings": lambda: b"%PDF-1.7\n" + b"<<" * 500_000 + b"\nstartxref\n9\n%%EOF",
    "pdf-of-brackets": lambda: (
        b"%PDF-1.7\n1 0 obj\n" + b"[" * 100_000 + b"\ntrailer<</Root 1 0 R>>\nstartxref\n9\n%%EOF"
    ),
    "unclosed-xml": lambda: OPENINGS["xml"] + b"<a>" * 500_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_answered_within_seconds(zoo: Zoo, name: str) -> None:
    data = BOMBS[name]()
    started = time.process_time()
    assert answered(data, zoo) is not Indication.PASSED
    assert time.process_time() - started < 10


def test_a_file_that_is_too_large_is_answered_without_being_read(zoo: Zoo) -> None:
    for opening, form in ((b"%PDF-1.7\n", "PAdES"), (b"", None)):
        verdict = verify_bytes(opening + bytes(MAX_INPUT_OCTETS + 1), zoo.context())
        expect(verdict, UNDECIDED, "GENERIC")
        assert verdict.format == form
        assert [finding.reason for finding in verdict.findings] == [Reason.INPUT_TOO_LARGE]


def test_fifty_megabytes_are_signed_and_verified(zoo: Zoo) -> None:
    from signer.formats.cades import sign_cades

    content = bytes(50 * 1024 * 1024)
    detached = sign_cades(content[:1024], zoo.clinician.key, zoo.clinician.chain, signed_at=SIGNED_AT)
    started = time.process_time()
    expect(verify_bytes(detached, zoo.context(content=content)), FAILED, "HASH_FAILURE")
    assert answered(content, zoo) is Indication.INDETERMINATE
    assert time.process_time() - started < 10


def test_every_reason_has_its_two_sentences() -> None:
    assert set(REASONS) == set(Reason)
    for message in REASONS.values():
        assert message.fa.strip().endswith(".")
        assert message.en.strip().endswith(".")
        assert any("\u0600" <= letter <= "\u06ff" for letter in message.fa)


def test_the_format_is_found_from_the_bytes_alone(cades: bytes, jades: bytes, pades: bytes) -> None:
    found = [detect(data) for data in (cades, jades, pades)]
    assert found == [Format.CMS, Format.JADES, Format.PADES]
