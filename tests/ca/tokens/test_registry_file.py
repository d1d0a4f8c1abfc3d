"""The pilot registry in a file: strict to read, silent when it cannot be."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.tokens.lights import Answer, LightKind
from ca.tokens.registry import RegistryReport
from ca.tokens.registry_file import FileRegistry, default_centres, parse_registry, registry_json
from pki.errors import InvalidInput, ServiceError
from pki.identity import SiamId
from pki.identity_file import pilot_identities

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
CLINIC = SiamId("pilot-clinic-1")
SYSTEM = "his-demo-1"


def document() -> dict[str, Any]:
    found = json.loads(registry_json(default_centres(NOW)))
    assert isinstance(found, dict)
    return found


def said(report: RegistryReport) -> dict[LightKind, Answer]:
    return {answer.kind: answer.answer for answer in report.answers}


def all_of(answer: Answer) -> dict[LightKind, Answer]:
    return dict.fromkeys(LightKind, answer)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "centres.json"
    path.write_bytes(registry_json(default_centres(NOW)))
    return path


def test_the_synthetic_centres_read_back() -> None:
    assert parse_registry(registry_json(default_centres(NOW)), pilot_identities()) == default_centres(NOW)


def test_a_centre_in_order_has_three_lights_with_source_reference_and_end(file: Path) -> None:
    report = FileRegistry(file, pilot_identities()).ask(CLINIC, SYSTEM, NOW)
    assert said(report) == all_of(Answer.OK)
    assert report.centre is not None
    assert report.centre.name == "درمانگاه آزمایشی مهر"
    licence = report.answers[0]
    assert (licence.source, licence.reference, licence.at) == ("pilot registry", "licence-1", NOW)
    assert licence.valid_until == NOW + timedelta(days=365)


def test_a_complete_registry_says_no_to_what_it_does_not_know(file: Path) -> None:
    registry = FileRegistry(file, pilot_identities())
    stranger, other_system = registry.ask(SiamId("nobody"), SYSTEM, NOW), registry.ask(CLINIC, "his-other", NOW)
    assert said(stranger) == all_of(Answer.FAILED)
    assert stranger.centre is None
    assert said(other_system) == all_of(Answer.OK) | {LightKind.CERTIFIED_SYSTEM: Answer.FAILED}
    assert other_system.answers[2].reference == "not-found"


def test_an_incomplete_registry_is_silent_about_what_it_does_not_know(file: Path) -> None:
    file.write_text(json.dumps(document() | {"complete": False}))
    assert said(FileRegistry(file, pilot_identities()).ask(SiamId("nobody"), SYSTEM, NOW)) == all_of(Answer.SILENT)


def test_an_export_is_as_old_as_it_says(file: Path) -> None:
    file.write_text(json.dumps(document() | {"as_of": "2026-11-01T00:00:00Z"}))
    report = FileRegistry(file, pilot_identities()).ask(CLINIC, SYSTEM, NOW)
    assert {answer.at for answer in report.answers} == {datetime(2026, 11, 1, tzinfo=UTC)}


def _removed(path: Path) -> None:
    path.unlink()


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _replaced_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("spoil", [_removed, _emptied, _truncated, _replaced_by_folder])
def test_a_spoilt_file_is_silent_about_everyone_and_speaks_again_when_repaired(
    file: Path, spoil: Callable[[Path], None]
) -> None:
    registry = FileRegistry(file, pilot_identities())
    assert said(registry.ask(CLINIC, SYSTEM, NOW)) == all_of(Answer.OK)
    spoil(file)
    silent = registry.ask(CLINIC, SYSTEM, NOW)
    assert said(silent) == all_of(Answer.SILENT)
    assert silent.centre is None
    if file.is_dir():
        file.rmdir()
    file.write_bytes(registry_json(default_centres(NOW)))
    assert said(registry.ask(CLINIC, SYSTEM, NOW)) == all_of(Answer.OK)


def test_a_changed_file_is_read_again(file: Path) -> None:
    registry = FileRegistry(file, pilot_identities())
    registry.ask(CLINIC, SYSTEM, NOW)
    changed = document()
    changed["centres"][0]["operating_licence"]["state"] = "failed"
    file.write_text(json.dumps(changed))
    os.utime(file, ns=(1, 1))
    assert said(registry.ask(CLINIC, SYSTEM, NOW))[LightKind.OPERATING_LICENCE] is Answer.FAILED


def _change(path: str, value: object) -> dict[str, Any]:
    found: Any = document()
    *way, last = path.split("/")
    place = found
    for step in way:
        place = place[int(step) if step.isdecimal() else step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("format", "other/1"),
        ("complete", "yes"),
        ("source", ""),
        ("as_of", "yesterday"),
        ("centres", {}),
        ("centres", None),
        ("stray", 1),
        ("centres/0/siam_id", "pilot-pharmacy-1"),
        ("centres/0/siam_id", "x"),
        ("centres/0/legal_id", "99000001013"),
        ("centres/0/kind", "castle"),
        ("centres/0/name", "نام\u202eوارونه"),
        ("centres/0/city", None),
        ("centres/0/phone", "1"),
        ("centres/0/siam", "ok"),
        ("centres/0/siam/state", "maybe"),
        ("centres/0/siam/reference", "x" * 129),
        ("centres/0/siam/reference", "line\nbreak"),
        ("centres/0/systems", []),
        ("centres/0/systems/with space", {"state": "ok"}),
        ("centres/0/systems/his-demo-1/valid_until", "2026-11-22"),
        ("centres/0/operating_licence/valid_until", 7),
    ],
)
def test_a_wrong_member_refuses_the_whole_file(path: str, value: object) -> None:
    with pytest.raises(InvalidInput):
        parse_registry(json.dumps(_change(path, value)).encode(), pilot_identities())


@given(
    st.binary(max_size=64)
    | st.dictionaries(
        st.sampled_from(["format", "source", "complete", "centres"]), st.text() | st.booleans() | st.lists(st.none())
    ).map(lambda value: json.dumps(value).encode())
)
def test_the_reader_raises_nothing_but_service_errors(data: bytes) -> None:
    with pytest.raises(ServiceError):
        parse_registry(data, pilot_identities())
