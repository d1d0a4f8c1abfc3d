from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path
from typing import cast

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from webapp.addresses import PAGES, Language, language_of, page_path
from webapp.languages import catalogue_file, isolate_latin

WEBAPP = Path(__file__).parents[2] / "webapp"
PERSIAN = re.compile(r"[\u0600-\u06ff]")
MACHINE_TEXT = re.compile(r"<[^>]*>|%\([a-z_]+\)s")


def catalogue() -> Catalog:
    with catalogue_file(Language.FA).open("rb") as file:
        return read_po(file, locale="fa")


def texts_in_templates() -> set[str]:
    found = extract_from_dir(str(WEBAPP), [("**/templates/**.html", "jinja2")])
    return {cast("str", message) for _, _, message, _, _ in found}


def test_every_text_of_the_pages_is_translated_and_none_is_stale() -> None:
    known = {str(message.id) for message in catalogue() if message.id}
    assert texts_in_templates() == known


def test_no_translation_is_empty_fuzzy_or_has_other_placeholders() -> None:
    for message in catalogue():
        if message.id:
            assert message.string, message.id
            assert not message.fuzzy, message.id
            assert list(message.check(catalogue())) == [], message.id
            assert PERSIAN.search(str(message.string)), message.id


def test_translations_use_persian_letters_and_digits() -> None:
    for message in catalogue():
        text = MACHINE_TEXT.sub("", str(message.string)) if message.id else ""
        assert not re.search(r"[يىكة٠-٩]", text), message.id
        outside_latin = re.sub(r"[A-Za-z][A-Za-z0-9#./+-]*(?: \([^)]*\))?(?: [0-9]+)?", "", text)
        assert not re.search(r"[0-9]", outside_latin), message.id


def test_templates_hold_no_persian_outside_the_catalogue() -> None:
    for path in (WEBAPP / "templates").iterdir():
        text = path.read_text().replace('"فارسی"', "")  # the language's own name
        assert not PERSIAN.search(text), path.name


def test_latin_runs_are_isolated_and_placeholders_are_not() -> None:
    assert (
        isolate_latin("قالب JAdES (JSON)، و %(size)s") == 'قالب <bdi dir="ltr" lang="en">JAdES (JSON)</bdi>، و %(size)s'
    )
    assert isolate_latin("مهر زمانی RFC 3161.").endswith('<bdi dir="ltr" lang="en">RFC 3161</bdi>.')


@given(st.text(alphabet="آبپ،. abcXYZ019#()%s"))
def test_isolating_loses_no_character(text: str) -> None:
    assert re.sub(r"</?bdi[^>]*>", "", isolate_latin(text)) == text


def test_each_page_exists_in_both_languages_and_links_to_the_other(client: FlaskClient) -> None:
    for page in PAGES:
        for language in Language:
            path = page_path(page, language)
            answer = client.get(path)
            assert answer.status_code == 200, path
            assert f'<html lang="{language}" dir="{language.direction}">' in answer.text
            assert f'href="{page_path(page, language.other)}" lang="{language.other}"' in answer.text
            assert language_of(path) is language


def test_a_query_may_ask_for_english(client: FlaskClient) -> None:
    assert '<html lang="en" dir="ltr">' in client.get("/?lang=en").text


def test_the_verdict_speaks_the_language_of_its_page(client: FlaskClient) -> None:
    headers = {"Origin": "https://mohr.example"}
    for path, word in (("/verify", "امضا معتبر است."), ("/en/verify", "The signature is valid.")):
        assert word in client.post(path, data={"file": (BytesIO(b"valid"), "a")}, headers=headers).text
