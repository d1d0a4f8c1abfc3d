from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn

import pytest
from flask.testing import FlaskClient

from webapp.logs import JsonLines, WholeLines, log_incident


def line_of(record: logging.LogRecord) -> dict[str, object]:
    text = JsonLines().format(record)
    assert "\n" not in text
    assert text.isascii()
    loaded: dict[str, object] = json.loads(text)
    return loaded


def fail() -> NoReturn:
    try:
        int("0000012343 is no number")
    except ValueError as error:
        raise RuntimeError("0000012343 again") from error
    raise AssertionError


def test_a_request_is_one_line_that_names_the_route_and_not_the_address(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "mohr.web"):
        client.get("/verify?code=0000012343", headers={"User-Agent": "forged"})
        client.get("/0000012343")
    lines = [line_of(record) for record in caplog.records]
    assert [line["route"] for line in lines] == ["/verify", "(none)"]
    assert [line["status"] for line in lines] == [200, 404]
    assert str(lines[0]["at"]).endswith("Z")
    assert "0000012343" not in json.dumps(lines)
    assert "forged" not in json.dumps(lines)


def test_an_incident_names_classes_and_places_but_no_message(caplog: pytest.LogCaptureFixture) -> None:
    try:
        fail()
    except RuntimeError as error:
        log_incident(error, request_id="r1", route="/x")
    line = line_of(caplog.records[0])
    text = json.dumps(line)
    assert "0000012343" not in text
    assert "builtins.RuntimeError" in text
    assert "builtins.ValueError" in text
    assert "test_logs.py:" in text


def test_control_characters_cannot_forge_a_line() -> None:
    record = logging.LogRecord("x", logging.INFO, "f", 1, 'a\n{"level":"error"}\u2028', None, None)
    assert line_of(record)["event"] == 'a\n{"level":"error"}\u2028'


def test_an_exception_of_another_library_is_named_by_class_alone() -> None:
    try:
        fail()
    except RuntimeError as error:
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "no", None, (type(error), error, error.__traceback__))
    line = line_of(record)
    assert line["exception"] == "RuntimeError"
    assert "0000012343" not in json.dumps(line)


def test_lines_of_many_threads_stay_whole(capfd: pytest.CaptureFixture[str]) -> None:
    handler = WholeLines()
    handler.setFormatter(JsonLines())

    def say(thread: int) -> None:
        for number in range(50):
            record = logging.LogRecord("mohr.web", logging.INFO, "", 0, "said", None, None)
            record.fields = {"thread": thread, "number": number, "more": "\u0645" * 40}
            handler.handle(record)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(say, range(8)))
    said = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert sorted((line["thread"], line["number"]) for line in said) == [(t, n) for t in range(8) for n in range(50)]


def test_a_line_that_cannot_be_written_ends_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    handler = WholeLines()
    handler.setFormatter(JsonLines())
    handler.handle(logging.LogRecord("mohr.web", logging.INFO, "", 0, "%d", ("no number",), None))
    assert "Logging error" in capfd.readouterr().err
