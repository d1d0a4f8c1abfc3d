from __future__ import annotations

import re
from pathlib import Path

import pytest

CSS = (Path(__file__).parents[2] / "webapp" / "static" / "style.css").read_text()
COLOURS = dict(re.findall(r"--([a-z-]+):\s*(#[0-9a-f]{6});", CSS))
TEXT_ON_GROUND = [
    ("ink", "paper"),
    ("ink", "surface"),
    ("ink-soft", "paper"),
    ("ink-soft", "surface"),
    ("brand", "paper"),
    ("brand", "surface"),
    ("brand", "brand-soft"),
    ("brand-deep", "surface"),
    ("brand-deep", "brand-soft"),
    ("on-brand", "brand"),
    ("on-brand", "brand-deep"),
    ("on-brand-soft", "brand"),
    ("invalid-ink", "surface"),
    *((f"{tone}-ink", f"{tone}-ground") for tone in ("valid", "deferred", "revoked", "invalid", "plain")),
    *((f"{tone}-ink", "paper") for tone in ("valid", "deferred", "revoked", "invalid", "plain")),
    *(("ink", f"{tone}-ground") for tone in ("valid", "deferred", "revoked", "invalid", "plain")),
    *(("plain-ink", f"{tone}-ground") for tone in ("valid", "deferred", "revoked", "invalid", "plain")),
]
SHAPE_ON_GROUND = [
    ("edge", "paper"),
    ("edge", "surface"),
    ("focus", "paper"),
    ("focus", "surface"),
    ("focus-on-brand", "brand"),
]


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(COLOURS[one]), luminance(COLOURS[other])), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(("text", "ground"), TEXT_ON_GROUND)
def test_text_can_be_read_on_its_ground(text: str, ground: str) -> None:
    assert contrast(text, ground) >= 4.5


@pytest.mark.parametrize(("shape", "ground"), SHAPE_ON_GROUND)
def test_shapes_and_focus_can_be_seen(shape: str, ground: str) -> None:
    assert contrast(shape, ground) >= 3


def test_tones_differ_from_each_other_and_deferred_is_never_green() -> None:
    tones = {COLOURS[f"{tone}-ink"] for tone in ("valid", "deferred", "revoked", "invalid", "plain")}
    assert len(tones) == 5
    red, green, _ = (int(COLOURS["deferred-ink"][at : at + 2], 16) for at in (1, 3, 5))
    assert red > green


def test_every_colour_is_a_token() -> None:
    rules = CSS[CSS.index("*, *::before") :]
    assert not re.search(r"#[0-9a-fA-F]{3,8}\b|rgba?\(|hsla?\(", rules)
    assert set(re.findall(r"var\(--([a-z-]+)\)", rules)) <= {*COLOURS, "radius", "wide"}


def test_directions_are_logical() -> None:
    physical = r"(?:margin|padding|border|inset)-(?:left|right|top|bottom)|(?<![a-z-])(?:left|right|float)\s*:"
    assert not re.search(physical, CSS)
    assert not re.search(r"text-align:\s*(?:left|right)", CSS)


def test_focus_is_never_hidden_and_nothing_comes_from_elsewhere() -> None:
    assert "main:focus { outline: none; }" in CSS  # the target of the skip link, a whole page
    assert CSS.count("outline: none") == 1
    assert "http" not in CSS
    assert CSS.count("url(") == 1


@pytest.mark.parametrize("media", ["print", "forced-colors: active", "prefers-reduced-motion: no-preference"])
def test_other_ways_of_seeing_are_thought_of(media: str) -> None:
    assert media in CSS
