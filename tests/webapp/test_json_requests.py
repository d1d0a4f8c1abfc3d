"""What is wrong with a member of a JSON body is told by names and words of our own."""

from __future__ import annotations

import json
from typing import Literal

import pytest
from flask import Flask
from pydantic import BaseModel, ConfigDict, Field

from ca.refusals import REFUSALS
from pki.errors import InvalidInput
from webapp.json_requests import MEDIA_TYPE, read_json


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    flag: bool


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(min_length=2, max_length=4, pattern="^[a-z]+$")
    kind: Literal["a", "b"] = "a"
    count: int = Field(default=1, ge=1, le=9)
    inner: Inner | None = None
    names: list[str] | None = Field(default=None, min_length=1, max_length=2)


@pytest.mark.parametrize(
    ("body", "reason", "detail"),
    [
        ([], "member-type", "the body is an object"),
        ({}, "member-missing", "name is missing"),
        ({"name": 1}, "member-type", "name is text"),
        ({"name": "a"}, "member-length", "name has at least 2 characters"),
        ({"name": "abcde"}, "member-length", "name has at most 4 characters"),
        ({"name": "AB"}, "member-value", "name has none of the values that it may have"),
        ({"name": "ab", "kind": "secret"}, "member-value", "kind has none of the values that it may have"),
        ({"name": "ab", "count": "1"}, "member-type", "count is a whole number"),
        ({"name": "ab", "count": 0}, "member-value", "count is at least 1"),
        ({"name": "ab", "count": 10**30}, "member-value", "count is at most 9"),
        ({"name": "ab", "inner": 1}, "member-type", "inner is an object"),
        ({"name": "ab", "inner": {"flag": 1}}, "member-type", "inner.flag is true or false"),
        ({"name": "ab", "names": "x"}, "member-type", "names is a list"),
        ({"name": "ab", "names": []}, "member-length", "names has at least 1 elements"),
        ({"name": "ab", "names": ["a", "b", "c"]}, "member-length", "names has at most 2 elements"),
        ({"name": "ab", "names": ["a", None]}, "member-type", "names.1 is text"),
        ({"name": "ab", "secret": 1}, "unknown-member", "a member is not known"),
    ],
)
def test_a_wrong_member_is_told_by_its_place_and_our_words(body: object, reason: str, detail: str) -> None:
    data = json.dumps(body).encode()
    context = Flask("x").test_request_context(method="POST", data=data, content_type=MEDIA_TYPE)
    with context, pytest.raises(InvalidInput) as refusal:
        read_json(Body)
    assert (refusal.value.reason, refusal.value.detail) == (f"request.{reason}", detail)
    assert refusal.value.reason in REFUSALS
