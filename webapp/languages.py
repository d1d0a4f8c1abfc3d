"""Texts of the pages: English in the source, Persian in one catalogue that is read from its `.po` at start.

Babel reads the catalogue and the standard library's gettext serves it, so a clean clone needs no compile
step and no binary file can fall out of step with its source.
"""

from functools import cache
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path
from typing import Final

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from flask import Flask, g, request

from webapp.addresses import Language, language_of

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


def gettext(message: str) -> str:
    """Translate one text into the language of the request."""
    return translations(current_language()).gettext(message)


def ngettext(singular: str, plural: str, number: int) -> str:
    """Translate a text that depends on a number."""
    return translations(current_language()).ngettext(singular, plural, number)


def install(app: Flask) -> None:
    """Choose the language of each request and give the templates their `_()`."""
    app.jinja_env.add_extension("jinja2.ext.i18n")
    app.jinja_env.policies["ext.i18n.trimmed"] = True
    app.jinja_env.install_gettext_callables(  # type: ignore[attr-defined]  # the extension adds this method
        gettext, ngettext, newstyle=True
    )
    translations(Language.FA)

    @app.before_request
    def choose() -> None:
        g.language = Language.EN if request.args.get("lang") == "en" else language_of(request.path)
