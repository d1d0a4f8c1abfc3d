"""JSON bodies of requests: bounded, read strictly, checked against the model that the document shows."""

from typing import TYPE_CHECKING, Final, TypeVar

from flask import request
from pydantic import BaseModel, ValidationError

from pki.errors import ErrorCode, InvalidInput
from pki.jose import strict_json

MAX_OCTETS: Final = 64 * 1024
MEDIA_TYPE: Final = "application/json"

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_Model = TypeVar("_Model", bound=BaseModel)

# By the model's own names of what is wrong: which rule that is, and how it is said.
_RULES: Final = {
    "missing": ("request.member-missing", "is missing"),
    "extra_forbidden": ("request.unknown-member", "is not known"),
    "string_type": ("request.member-type", "is text"),
    "bool_type": ("request.member-type", "is true or false"),
    "int_type": ("request.member-type", "is a whole number"),
    "list_type": ("request.member-type", "is a list"),
    "model_type": ("request.member-type", "is an object"),
    "string_too_short": ("request.member-length", "has at least {min_length} characters"),
    "string_too_long": ("request.member-length", "has at most {max_length} characters"),
    "too_short": ("request.member-length", "has at least {min_length} elements"),
    "too_long": ("request.member-length", "has at most {max_length} elements"),
    "greater_than_equal": ("request.member-value", "is at least {ge}"),
    "less_than_equal": ("request.member-value", "is at most {le}"),
}
_OTHER_RULE: Final = ("request.member-value", "has none of the values that it may have")


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
    data: bytes = request.environ["wsgi.input"].read(length)  # as it lies in memory; Werkzeug would copy it twice
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
        raise _refusal(error.errors(include_url=False, include_input=False)[0]) from error


def _refusal(first: "ErrorDetails") -> InvalidInput:
    reason, rule = _RULES.get(first["type"], _OTHER_RULE)
    place = ".".join(str(part) for part in first["loc"])[:64] or "the body"
    named = "a member" if reason == "request.unknown-member" else place  # its name is the caller's own text
    return InvalidInput(ErrorCode.INPUT_MALFORMED, f"{named} {rule.format_map(first.get('ctx', {}))}", reason=reason)
