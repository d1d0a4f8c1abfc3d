from __future__ import annotations

import json

import pytest

from pki.errors import ErrorCode, InvalidInput, ServiceError
from webapp.problems import STATUS, Problem, problem_of


def test_every_code_has_a_status() -> None:
    assert set(STATUS) == set(ErrorCode)
    assert all(400 <= status < 600 for status in STATUS.values())


@pytest.mark.parametrize("code", list(ErrorCode))
def test_a_document_names_code_status_and_both_languages(code: ErrorCode) -> None:
    document = json.loads(Problem(code=code, request_id="r1", detail="why").body())
    assert document["code"] == code
    assert document["status"] == STATUS[code]
    assert document["type"] == f"/help/problems#{code}"
    assert document["title"].isascii()
    assert not document["title_fa"].isascii()
    assert document["request_id"] == "r1"


def test_the_detail_of_an_internal_error_stays_inside() -> None:
    assert problem_of(ServiceError(ErrorCode.INTERNAL, "secret path"), "r").detail == ""
    assert problem_of(InvalidInput(ErrorCode.INPUT_EMPTY, "field file"), "r").detail == "field file"


def test_silence_says_when_to_ask_again() -> None:
    assert "Retry-After" in Problem(code=ErrorCode.UNAVAILABLE, request_id="r").extra_headers
    assert "Retry-After" not in Problem(code=ErrorCode.NOT_FOUND, request_id="r").extra_headers


def test_a_refused_token_gets_a_challenge() -> None:
    assert "invalid_token" in Problem(code=ErrorCode.TOKEN_BINDING, request_id="r").extra_headers["WWW-Authenticate"]
