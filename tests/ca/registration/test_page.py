"""The page on registration says what the code does: its examples are read by the parsers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ca.registration import _READERS
from ca.registration_states import FileState
from ca.registries.answers import Denial, Silence
from ca.registries.pilot_file import CIVIL, COUNCIL, LICENCES
from pki.identity_file import pilot_identities

PAGE = (Path(__file__).parents[3] / "docs" / "registration.md").read_text(encoding="utf-8")
FORMS = (COUNCIL, CIVIL, LICENCES)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_the_pages_registry_files_are_read(form: object) -> None:
    (example,) = (text for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL) if form.format in text)  # type: ignore[attr-defined]
    assert len(form.parse(example.encode(), pilot_identities()).entries) == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("words", [Denial, Silence, FileState, _READERS], ids=["no", "silent", "states", "kinds"])
def test_the_page_names_every_word(words: object) -> None:
    for word in words:  # type: ignore[attr-defined]
        assert re.search(rf"\b{re.escape(word)}\b", PAGE), word
