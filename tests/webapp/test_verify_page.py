from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable
from functools import cache
from io import BytesIO
from typing import Any, NoReturn

import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st

from pki.errors import ErrorCode, Unavailable
from tests.webapp import samples
from tests.webapp.conftest import FROM_OWN_PAGE, ORIGIN, Client, FixedClock, healthy
from webapp.app import create_app
from webapp.pages.verdict import Outcome, display_name, masked, outcome_of_file, read_verdict
from webapp.services import Services
from webapp.uploads import MAX_REQUEST_OCTETS


def multipart(data: bytes, *, boundary: str = "b", closed: bool = True) -> dict[str, Any]:
    """A form with one file, as bytes."""
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'.encode()
    tail = f"\r\n--{boundary}--\r\n".encode() if closed else b""
    return {"data": head + data + tail, "content_type": f"multipart/form-data; boundary={boundary}"}


Check = Callable[..., Any]
WORDS = {
    "valid": "معتبر",
    "deferred": "معلق",
    "revoked": "باطل‌شده",
    "broken": "نامعتبر",
    "refused": "نامعتبر",
    "malformed": "نامعتبر",
    "several": "معلق",
}


@pytest.mark.parametrize(
    ("sample", "outcome"),
    [
        ("valid", Outcome.VALID),
        ("deferred", Outcome.DEFERRED),
        ("broken", Outcome.BROKEN),
        ("revoked", Outcome.REVOKED),
        ("refused", Outcome.REFUSED),
        ("several", Outcome.DEFERRED),
        ("unsigned", Outcome.UNSIGNED),
        ("unknown-format", Outcome.UNKNOWN_FORMAT),
        ("malformed", Outcome.BROKEN),
    ],
)
def test_a_file_has_one_outcome(sample: str, outcome: Outcome) -> None:
    assert outcome_of_file(read_verdict(samples.SAMPLES[sample])) is outcome


@pytest.mark.parametrize(("sample", "word"), WORDS.items())
def test_a_verdict_is_one_word_of_the_closed_vocabulary(check: Check, sample: str, word: str) -> None:
    answer = check(sample.encode())
    assert answer.status_code == 200
    assert f'<p class="verdict-word">{word}</p>' in answer.text


@pytest.mark.parametrize("sample", ["unsigned", "unknown-format"])
def test_what_is_not_signed_gets_a_sentence_and_no_word(check: Check, sample: str) -> None:
    assert "verdict-word" not in check(sample.encode()).text


def test_deferred_is_amber_and_never_green(check: Check) -> None:
    text = check(b"deferred").text
    assert "tone-deferred" in text
    assert "tone-valid" not in text
    assert "edge-valid" not in text


def test_the_page_says_who_when_and_what(check: Check) -> None:
    text = check(b"valid").text
    for fact in ("مریم کریمی", "پزشک", "۱۲۳۴۵۶", "۱ آذر ۱۴۰۵، ساعت ۱۲:۳۰", "2026-11-22 09:00:00 UTC", samples.SHA):
        assert fact in text, fact
    assert "Mohr Time-stamping" in text
    assert "با عمر <bdi>۳۴ دقیقه</bdi>" in text
    assert "نام فایل و هر چه جز این" in text


def test_a_claimed_time_is_called_a_claim(check: Check) -> None:
    assert "The signer&#39;s own word; nothing proves it." in check(b"refused", path="/en/verify").text or (
        "The signer's own word; nothing proves it." in check(b"refused", path="/en/verify").text
    )


def test_the_page_hides_national_codes(check: Check) -> None:
    text = check(b"valid").text
    assert "0000012343" not in text
    assert "••••••••43" in text
    assert masked("PNOIR-0000012343, CN=دکتر ۰۰۰۰۰۱۲۳۵۱") == "PNOIR-••••••••43, CN=دکتر ••••••••۵۱"
    assert masked("council number 123456") == "council number 123456"


def test_a_name_inside_another_attribute_is_not_taken_for_the_signer_s() -> None:
    assert display_name("C=IR, CN=Sara Test, O=x") == "Sara Test"
    assert display_name("C=IR, CN=a, b = c") == "a, b = c"
    assert display_name("O=a, CN=Famous, CN=Mallory") == "O=a, CN=Famous, CN=Mallory"
    assert display_name("O=only") == "O=only"


@pytest.mark.parametrize("path", ["/verify", "/en/verify", "/api/v1/verify"])
@pytest.mark.parametrize(
    "data",
    [
        {},
        {"file": (BytesIO(b""), "rx.json")},
        {"other": (BytesIO(b"x"), "rx.json")},
        {"file": "a field and not a file"},
    ],
    ids=["no fields", "empty file", "other field", "text field"],
)
def test_no_file_is_an_empty_input(client: FlaskClient, path: str, data: dict[str, Any]) -> None:
    fresh = {name: (BytesIO(v[0].getvalue()), v[1]) if isinstance(v, tuple) else v for name, v in data.items()}
    answer = client.post(path, data=fresh, headers=FROM_OWN_PAGE, content_type="multipart/form-data")
    assert answer.status_code == 400
    if path.startswith("/api/"):
        assert answer.json is not None
        assert answer.json["code"] == "input-empty"
    else:
        assert 'role="alert"' in answer.text
        assert 'aria-invalid="true"' in answer.text


def test_an_error_page_says_so_in_its_title_first(check: Check) -> None:
    assert "<title>خطا: بررسی سند" in check(b"").text
    assert "<title>Error: Check a document" in check(b"", path="/en/verify").text


@pytest.mark.parametrize("path", ["/verify", "/api/v1/verify"])
def test_a_file_beyond_the_limit_is_too_large(client: FlaskClient, path: str) -> None:
    answer = client.post(path, headers=FROM_OWN_PAGE, **multipart(bytes(MAX_REQUEST_OCTETS)))
    assert answer.status_code == 413
    if path.startswith("/api/"):
        assert answer.content_type.startswith("application/problem+json")
        assert json.loads(answer.data)["code"] == "input-too-large"
    else:
        assert "ورودی از اندازهٔ مجاز بزرگ‌تر است." in answer.text
        assert "۵۰ مگابایت" in answer.text


def test_a_raw_body_beyond_the_limit_is_too_large(client: FlaskClient) -> None:
    answer = client.post("/api/v1/verify", data=bytes(MAX_REQUEST_OCTETS + 1), content_type="application/octet-stream")
    assert (answer.status_code, answer.json["code"] if answer.json else "") == (413, "input-too-large")


def test_a_file_just_within_the_limit_reaches_the_verifier(client_of: Client) -> None:
    seen: list[int] = []

    def verify(data: bytes, *, content: bytes | None, name: str) -> dict[str, Any]:
        seen.append(len(data))
        return samples.SAMPLES["unknown-format"]

    size = MAX_REQUEST_OCTETS - 1024
    answer = client_of(verify=verify).post("/verify", headers=FROM_OWN_PAGE, **multipart(bytes(size)))
    assert answer.status_code == 200
    assert seen == [size]


@pytest.mark.parametrize("path", ["/verify", "/api/v1/verify"])
@pytest.mark.parametrize("content_type", ["application/octet-stream", "multipart/form-data; boundary=b"])
def test_a_body_of_unknown_length_is_refused_and_not_cut(client: FlaskClient, path: str, content_type: str) -> None:
    answer = client.post(
        path,
        input_stream=BytesIO(bytes(64)),
        content_type=content_type,
        headers={**FROM_OWN_PAGE, "Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert answer.status_code == 411


def test_a_body_that_broke_off_gets_no_verdict(client: FlaskClient) -> None:
    cut = {"wsgi.input_terminated": True, "CONTENT_LENGTH": "100000"}  # as granian hands it over
    answer = client.post(
        "/api/v1/verify", input_stream=BytesIO(b"valid"), content_type="application/octet-stream", environ_overrides=cut
    )
    assert answer.status_code == 400
    assert answer.json is not None
    assert answer.json["code"] == "input-malformed"


@pytest.mark.parametrize("size", [60_000, 65_536, 66_000, 200_000, 3_000_001])
def test_files_of_any_size_arrive_whole(client_of: Client, size: int) -> None:
    seen: list[bytes] = []

    def verify(data: bytes, *, content: bytes | None, name: str) -> dict[str, Any]:
        seen.append(data)
        return samples.SAMPLES["unknown-format"]

    data = random.Random(size).randbytes(size)  # noqa: S311 - any bytes do, the same ones each time
    assert client_of(verify=verify).post("/verify", headers=FROM_OWN_PAGE, **multipart(data)).status_code == 200
    assert seen == [data]


def test_too_many_parts_are_too_large(client: FlaskClient) -> None:
    data = {f"field{number}": "x" for number in range(40)}
    answer = client.post("/api/v1/verify", data=data, content_type="multipart/form-data")
    assert answer.status_code == 413


def test_a_form_that_is_not_multipart_is_refused(client: FlaskClient) -> None:
    answer = client.post("/api/v1/verify", data={"file": "x"})
    assert answer.status_code == 415


@cache
def any_verifier() -> FlaskClient:
    services = Services(
        public_url=ORIGIN,
        clock=FixedClock(),
        health=healthy,
        verify=lambda data, *, content, name: samples.SAMPLES["unknown-format"],
    )
    return create_app(services).test_client()


@settings(deadline=None)
@given(
    path=st.sampled_from(["/verify", "/api/v1/verify"]),
    body=st.binary(max_size=300),
    boundary=st.sampled_from(["x", "", '"', "é", "x" * 300]),
)
def test_a_broken_multipart_body_is_a_coded_answer(path: str, body: bytes, boundary: str) -> None:
    content_type = f"multipart/form-data; boundary={boundary}"
    parts = multipart(body, boundary=boundary, closed=False)["data"]
    answer = any_verifier().post(path, data=parts, content_type=content_type, headers=FROM_OWN_PAGE)
    assert answer.status_code in (200, 400, 413)


def test_detached_content_reaches_the_verifier(client_of: Client) -> None:
    seen: list[tuple[bytes, bytes | None, str]] = []

    def verify(data: bytes, *, content: bytes | None, name: str) -> dict[str, Any]:
        seen.append((data, content, name))
        return samples.SAMPLES["valid"]

    client = client_of(verify=verify)
    both = {"file": (BytesIO(b"sig"), "a.p7s"), "content": (BytesIO(b"doc"), "a.txt")}
    client.post("/verify", data=both, headers=FROM_OWN_PAGE)
    chosen_none = {"file": (BytesIO(b"sig"), "/tmp/folder/a.p7s"), "content": (BytesIO(b""), "")}
    client.post("/verify", data=chosen_none, headers=FROM_OWN_PAGE)
    client.post("/api/v1/verify", data=b"raw", content_type="application/octet-stream")
    assert seen == [(b"sig", b"doc", "a.p7s"), (b"sig", None, "a.p7s"), (b"raw", None, "upload")]


def test_a_verifier_that_is_away_says_nothing_about_the_document(client_of: Client) -> None:
    def away(data: bytes, *, content: bytes | None, name: str) -> NoReturn:
        raise Unavailable(ErrorCode.UNAVAILABLE)

    for client in (client_of(verify=None), client_of(verify=away)):
        page = client.post("/en/verify", data={"file": (BytesIO(b"x"), "a")}, headers=FROM_OWN_PAGE)
        assert page.status_code == 503
        assert "This says nothing about your document." in page.text
        assert page.headers["Retry-After"]
        api = client.post("/api/v1/verify", data=b"x", content_type="application/octet-stream")
        assert (api.status_code, api.json["code"] if api.json else "") == (503, "unavailable")


def test_an_unexpected_failure_leaves_an_incident_and_no_trace(
    client_of: Client, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(data: bytes, *, content: bytes | None, name: str) -> NoReturn:
        raise RuntimeError("patient 0000012343")

    with caplog.at_level(logging.INFO, "mohr.web"):
        answer = client_of(verify=broken).post(
            "/verify", data={"file": (BytesIO(b"x"), "secret-name.pdf")}, headers=FROM_OWN_PAGE
        )
    assert answer.status_code == 500
    lines = [vars(record)["fields"] for record in caplog.records]
    assert answer.headers["X-Request-Id"] in answer.text
    assert all(line["request_id"] == answer.headers["X-Request-Id"] for line in lines)
    for text in (answer.text, json.dumps(lines)):
        assert "0000012343" not in text
        assert "secret-name" not in text
        assert "Traceback" not in text


def test_a_verdict_that_breaks_its_contract_is_our_fault(client_of: Client) -> None:
    client = client_of(verify=lambda data, *, content, name: {"file": "x"})
    assert client.post("/verify", data={"file": (BytesIO(b"x"), "a")}, headers=FROM_OWN_PAGE).status_code == 500
