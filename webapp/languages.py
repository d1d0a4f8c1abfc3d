"""Texts of the pages: English in the source, Persian in one catalogue that is read from its `.po` at start.

Babel reads the catalogue and the standard library's gettext serves it, so a clean clone needs no compile
step and no binary file can fall out of step with its source.
"""

import re
from functools import cache, lru_cache
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path
from typing import Final

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from flask import Flask, g, request
from markupsafe import Markup

from webapp.addresses import Language, language_of

_PLACEHOLDER: Final = re.compile(r"(%\([a-z_]+\)s)")
_LATIN_RUN: Final = re.compile(r"[A-Za-z][A-Za-z0-9#./+-]*(?: \([A-Za-z0-9./-]+\))?(?: [0-9]+)?")
TRANSLATIONS: Final = Path(__file__).with_name("translations")


def catalogue_file(language: Language) -> Path:
    """Return where the catalogue of a language lies."""
    return TRANSLATIONS / language.value / "LC_MESSAGES" / "messages.po"


@cache
def translations(language: Language) -> NullTranslations:
    """Load the texts of a language; English is the source itself."""
    if language is Language.EN:
        return NullTranslations()
    with catalogue_file(language).open("rb") as file:
        catalogue = read_po(file, locale=language.value)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return GNUTranslations(compiled)


def current_language() -> Language:
    """Return the language of the request in hand."""
    language = g.get("language", Language.FA)
    return language if isinstance(language, Language) else Language.FA


def gettext(message: str, **values: object) -> Markup:
    """Translate one text into the language of the request, its placeholders filled with escaped values."""
    text = _translated(message, current_language())
    return text % values if values else text


@lru_cache(maxsize=2048)
def _translated(message: str, language: Language) -> Markup:
    text = translations(language).gettext(message)
    return Markup(text if language is Language.EN else isolate_latin(text))  # noqa: S704 - our own catalogue


def isolate_latin(text: str) -> str:
    """Put each Latin run of a Persian text into an isolate of its own; placeholders stay as they are.

    Without it `JAdES (JSON)، CMS` shows its parts in the wrong order.
    """
    parts = _PLACEHOLDER.split(text)
    for index in range(0, len(parts), 2):
        parts[index] = _LATIN_RUN.sub(r'<bdi dir="ltr" lang="en">\g<0></bdi>', parts[index])
    return "".join(parts)


def install(app: Flask) -> None:
    """Choose the language of each request and give the templates their `_()`."""
    app.jinja_env.globals["_"] = gettext
    translations(Language.FA)

    @app.before_request
    def choose() -> None:
        g.language = Language.EN if request.args.get("lang") == "en" else language_of(request.path)
