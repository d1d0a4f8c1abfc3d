"""Peers of the figures: several beside one value, and none of them part of the program."""

import re
from pathlib import Path

from webapp.bench import django_ca
from webapp.bench.measure import Figure, Peer

ROOT = Path(__file__).resolve().parents[2]


def a_figure(unit: str, value: float, *more: Peer) -> Figure:
    return Figure(
        name="a.figure",
        value=value,
        unit=unit,
        peer="first",
        peer_value=2.0,
        floor="nothing",
        floor_value=1.0,
        note="",
        more_peers=more,
    )


def test_each_peer_has_its_own_ratio_by_the_unit_s_direction() -> None:
    rate = a_figure("1/s", 10.0, Peer("second", 4.0), Peer("silent", 0.0)).as_json()
    assert rate["ratio"] == 5.0
    assert rate["more_peers"] == [
        {"peer": "second", "value": 4.0, "ratio": 2.5},
        {"peer": "silent", "value": 0.0, "ratio": None},
    ]
    assert a_figure("ms", 10.0, Peer("second", 4.0)).as_json()["more_peers"][0]["ratio"] == 0.4


def test_without_their_environment_there_are_no_peers(tmp_path: Path) -> None:
    half = tmp_path / "bin"
    half.mkdir()
    (half / "python").touch()
    assert django_ca.find_interpreter(tmp_path) is None
    (tmp_path / ".ready").touch()
    assert django_ca.find_interpreter(tmp_path) == half / "python"


def test_peers_are_pinned_by_digest_and_from_no_named_index() -> None:
    lines = (ROOT / "requirements-peers.txt").read_text(encoding="utf-8")
    pins = re.split(r"^(?=[a-z])", lines, flags=re.MULTILINE)[1:]
    assert any(pin.startswith("django-ca==") for pin in pins)
    assert all("--hash=sha256:" in pin for pin in pins)
    assert "://" not in lines


def test_the_program_has_none_of_them() -> None:
    assert "django" not in (ROOT / "requirements.lock").read_text(encoding="utf-8")
