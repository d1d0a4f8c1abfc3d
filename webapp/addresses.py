"""The addresses of pages in both languages, and which addresses speak to programs."""

from enum import StrEnum, unique
from typing import Final


@unique
class Language(StrEnum):
    """The languages of the pages. Persian lives at the root, English under `/en`."""

    FA = "fa"
    EN = "en"

    @property
    def direction(self) -> str:
        """The writing direction, as `dir` wants it."""
        return "rtl" if self is Language.FA else "ltr"

    @property
    def other(self) -> "Language":
        """The language to switch to."""
        return Language.EN if self is Language.FA else Language.FA


PAGES: Final = {
    "home": "/",
    "verify": "/verify",
    "activate": "/activate",
    "suspend": "/suspend",
    "help": "/help",
    "problems": "/help/problems",
    "policy": "/cps",
    "status": "/status",
}
ENGLISH_PREFIX: Final = "/en"
COOKIELESS: Final = ("/api/", "/oauth2/", "/.well-known/est/")
_MACHINE: Final = (*COOKIELESS, "/.well-known/", "/healthz", "/metrics", "/openapi.json", "/static/")


def page_path(page: str, language: Language) -> str:
    """Return the path of a page in a language."""
    return PAGES[page] if language is Language.FA else ENGLISH_PREFIX + PAGES[page]


def language_of(path: str) -> Language:
    """Tell the language of a page from its path."""
    english = path == ENGLISH_PREFIX or path.startswith(ENGLISH_PREFIX + "/")
    return Language.EN if english else Language.FA


def is_machine_path(path: str) -> bool:
    """Tell whether a path is for programs, which get problem documents and never pages."""
    return path.startswith(_MACHINE)
