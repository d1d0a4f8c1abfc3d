"""The seam to the signer: what its verifier writes is what the pages and the OpenAPI document describe."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from signer.formats.jades import add_signature_timestamp, sign_jades
from signer.samples import sample_prescription
from signer.validation.context import VerificationContext
from signer.validation.report import verdict_json
from signer.validation.verify import verify_bytes
from tests.support.pki import NOW
from tests.support.zoo import SIGNED_AT, Zoo, make_zoo
from tests.webapp.conftest import FROM_OWN_PAGE, Client
from webapp.app import create_app
from webapp.pages.verdict import read_verdict
from webapp.schemas import FileVerdict
from webapp.services import Services


@pytest.fixture(scope="module")
def zoo() -> Zoo:
    return make_zoo()


@pytest.fixture(scope="module")
def signed(zoo: Zoo) -> bytes:
    payload = sample_prescription(issued_at=SIGNED_AT)
    jws = sign_jades(payload, zoo.clinician.key, zoo.clinician.chain, signed_at=SIGNED_AT)
    return add_signature_timestamp(jws, zoo.stamper(SIGNED_AT + timedelta(seconds=2)))


def verifier(context: VerificationContext) -> Any:
    def verify(data: bytes, *, content: bytes | None, name: str) -> dict[str, Any]:
        return verdict_json(verify_bytes(data, replace(context, content=content)), name)

    return verify


def extras(model: BaseModel) -> Iterator[str]:
    """Yield members that the verifier writes and the document does not describe."""
    yield from (f"{type(model).__name__}.{name}" for name in model.model_extra or {})
    for value in (getattr(model, name) for name in type(model).model_fields):
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, BaseModel):
                yield from extras(item)


def undescribed(members: dict[str, Any]) -> list[str]:
    verdict = read_verdict(json.loads(json.dumps(members)))
    assert isinstance(verdict, FileVerdict)
    return sorted(extras(verdict))


def test_every_member_of_a_real_verdict_is_described(zoo: Zoo, signed: bytes) -> None:
    contexts = (zoo.context(), zoo.context(status_sources=()), zoo.context(anchors=()), VerificationContext(at=NOW))
    for context in contexts:
        for data in (signed, signed.replace(b'"payload":"ey', b'"payload":"eX'), b"{}", b"", b"%PDF-1.4"):
            assert undescribed(verifier(context)(data, content=None, name="x")) == []


def test_every_real_vector_is_described_and_shown(client_of: Client, vectors: Path) -> None:
    client = client_of(verify=verifier(VerificationContext(at=NOW)))
    files = [
        path for folder in ("cms-prescriptions", "cades", "jades", "pades") for path in (vectors / folder).iterdir()
    ]
    assert len(files) > 40
    for path in sorted(files)[::4]:
        data = path.read_bytes()
        api = client.post("/api/v1/verify", data=data, content_type="application/octet-stream")
        assert undescribed(api.json or {}) == [], path.name
        page = client.post("/verify", data={"file": (BytesIO(data), path.name)}, headers=FROM_OWN_PAGE)
        assert page.status_code == 200, path.name


def test_a_pdf_changed_after_signing_is_never_called_unchanged(client_of: Client, vectors: Path) -> None:
    data = (vectors / "pades" / "pdf-signed-added-page.pdf").read_bytes()
    client = client_of(verify=verifier(VerificationContext(at=NOW)))
    page = client.post("/en/verify", data={"file": (BytesIO(data), "a.pdf")}, headers=FROM_OWN_PAGE).text
    assert "tone-broken" in page
    assert "The document was changed after signing." in page
    assert "the file around them was changed" in page
    assert "Unchanged since it was signed." not in page
    assert "The document is unchanged" not in page


def test_a_format_that_is_not_read_yet_is_not_called_unsigned(client_of: Client) -> None:
    data = b'<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"/>'
    client = client_of(verify=verifier(VerificationContext(at=NOW)))
    page = client.post("/en/verify", data={"file": (BytesIO(data), "a.xml")}, headers=FROM_OWN_PAGE).text
    assert "carries no signature" not in page
    assert "format-not-supported" in page
    assert "No time is known." in page


def test_a_signed_prescription_is_valid_on_the_page_and_in_the_api(services: Services, zoo: Zoo, signed: bytes) -> None:
    client = create_app(replace(services, verify=verifier(zoo.context()))).test_client()
    page = client.post("/verify", data={"file": (BytesIO(signed), "rx.json")}, headers=FROM_OWN_PAGE).text
    assert '<p class="verdict-word">معتبر</p>' in page
    assert "0000012343" not in page
    api = client.post("/api/v1/verify", data={"file": (BytesIO(signed), "rx.json")}).json
    assert api
    assert (api["file"], api["indication"], api["signatures"][0]["care"]) == ("rx.json", "TOTAL-PASSED", "valid")


@pytest.fixture(scope="module")
def open_client(client_of: Client) -> FlaskClient:
    return client_of(verify=verifier(VerificationContext(at=NOW)))


def test_cut_files_get_a_verdict_and_never_a_failure(open_client: FlaskClient, signed: bytes) -> None:
    for length in range(0, len(signed), 701):
        answer = open_client.post("/api/v1/verify", data=signed[:length], content_type="application/octet-stream")
        assert answer.status_code == (200 if length else 400), length


def test_random_bytes_get_a_verdict_and_never_a_failure(open_client: FlaskClient) -> None:
    @settings(max_examples=40, deadline=None)
    @given(st.binary(min_size=1, max_size=400))
    def posted(data: bytes) -> None:
        page = open_client.post("/verify", data={"file": (BytesIO(data), "x")}, headers=FROM_OWN_PAGE)
        assert page.status_code == 200
        assert "verdict" in page.text

    posted()
