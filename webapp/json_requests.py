"""JSON bodies of requests: bounded, read strictly, checked against the model that the document shows."""

from typing import Final, TypeVar

from flask import request
from pydantic import BaseModel, ValidationError

from pki.errors import ErrorCode, InvalidInput
from pki.jose import strict_json

MAX_OCTETS: Final = 64 * 1024
MEDIA_TYPE: Final = "application/json"

_Model = TypeVar("_Model", bound=BaseModel)


def read_octets(limit: int = MAX_OCTETS, media_type: str = MEDIA_TYPE) -> bytes:
    """Return the request's JSON, or lines of JSON, as it was sent.

    InvalidInput: `media-type-refused`, `length-required`, `input-too-large`, `input-empty`.
    """
    if request.mimetype != media_type:
        raise InvalidInput(ErrorCode.MEDIA_TYPE_REFUSED, media_type, reason="request.not-json")
    length = request.content_length
    if length is None:
        raise InvalidInput(ErrorCode.LENGTH_REQUIRED)
    if length > limit:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, f"at most {limit} octets", reason="request.too-large")
    data = request.get_data(cache=False)
    if not data:
        raise InvalidInput(ErrorCode.INPUT_EMPTY)
    if len(data) != length:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "the body is shorter than announced")
    return data


def read_json(model: type[_Model], limit: int = MAX_OCTETS) -> _Model:
    """Read the request's JSON by its model; no member's value is repeated in what is refused.

    InvalidInput as `read_octets`, and `json-malformed`, `input-malformed`.
    """
    value = strict_json(read_octets(limit))
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])[:64] or "body"
        reason = "request.unknown-member" if first["type"] == "extra_forbidden" else "request.member"
        named = place if reason == "request.member" else "a member that is not known"
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, f"{named}: {first['type']}", reason=reason) from error
