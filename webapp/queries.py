"""Words of a request's query, read strictly: a word that nobody knows is refused, not passed over."""

from collections.abc import Collection
from enum import StrEnum
from typing import TypeVar

from flask import request

from pki.errors import ErrorCode, InvalidInput

_Choice = TypeVar("_Choice", bound=StrEnum)


def check_query(known: Collection[str] = ()) -> None:
    """Refuse a query with other words than these, or with one of them twice; InvalidInput."""
    for name, values in request.args.lists():
        if name not in known or len(values) != 1:
            detail = "the query has a word that is not known" if name not in known else f"{name} is said twice"
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, detail, reason="request.query")


def flag_in_query(name: str) -> bool:
    """Read `true` or `false`, which is what silence means; InvalidInput."""
    value = request.args.get(name, "false")
    if value not in ("true", "false"):
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, f"{name} is true or false", reason="request.query")
    return value == "true"


def choice_in_query(name: str, choices: type[_Choice]) -> _Choice | None:
    """Read one of the values of an enumeration, None where none is given; InvalidInput."""
    value = request.args.get(name)
    try:
        return None if value is None else choices(value)
    except ValueError as error:
        detail = f"{name} is one of {', '.join(choices)}"
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, detail, reason="request.query") from error


def number_in_query(name: str, default: int, *, lowest: int, highest: int) -> int:
    """Read a whole number between two; InvalidInput."""
    text = request.args.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(highest))):
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, f"{name} is a whole number", reason="request.query")
    number = int(text)
    if not lowest <= number <= highest:
        detail = f"{name} is between {lowest} and {highest}"
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, detail, reason="request.query")
    return number
