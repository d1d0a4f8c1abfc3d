from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.webapp.conftest import FROM_OWN_PAGE, Client
from tests.webapp.samples import SAMPLES
from webapp.addresses import PAGES, Language, page_path

TEMPLATES = Path(__file__).parents[2] / "webapp" / "templates"
PROBE = "probe-7\u202e<b>&\u05d0"
VOID = frozenset({"meta", "link", "input", "br", "path", "circle", "rect"})


class Page(HTMLParser):
    """Reads a page strictly: elements must close in order; text knows the elements around it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.texts: list[tuple[str, tuple[str, ...]]] = []
        self.attributes: list[tuple[str, str]] = []
        self.headings: list[int] = []
        self.feed(text)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.stack.append(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        for name, value in attrs:
            self.attributes.append((name, value or ""))
            if name == "id":
                self.ids.append(value or "")
            if name == "href":
                self.links.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((data, tuple(self.stack)))


def probed(value: Any) -> Any:
    """Put the probe in place of every text that a signer or a file may choose."""
    chosen = {"subject", "serial", "what", "sha256", "id", "level", "text_fa", "text_en", "code", "profession"}
    chosen |= {"council_number", "format", "sub_indication", "file", "policy"}
    chosen |= {"status", "source", "authority", "kind", "detail", "object", "issuer", "algorithm"}
    if isinstance(value, dict):
        return {name: PROBE if name in chosen and isinstance(v, str) else probed(v) for name, v in value.items()}
    return [probed(item) for item in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def pages(client: FlaskClient) -> list[str]:
    found = [client.get(page_path(page, language)).text for page in PAGES for language in Language]
    for sample in SAMPLES:
        for path in ("/verify", "/en/verify"):
            data = {"file": (BytesIO(sample.encode()), "rx.json")}
            found.append(client.post(path, data=data, headers=FROM_OWN_PAGE).text)
    found += [client.get("/none").text, client.post("/verify", data={}, headers=FROM_OWN_PAGE).text]
    return found


def test_pages_are_well_formed(pages: list[str]) -> None:
    for text in pages:
        page = Page(text)
        assert len(page.ids) == len(set(page.ids))
        assert page.headings.count(1) == 1
        assert all(after - before <= 1 for before, after in zip(page.headings, page.headings[1:], strict=False))
        assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)


def test_pages_name_no_other_host_and_carry_no_inline_style_or_handler(pages: list[str]) -> None:
    for text in pages:
        for name, value in Page(text).attributes:
            assert name != "style"
            assert not name.startswith("on")
            if name in ("href", "src", "action"):
                assert value.startswith(("/", "#")), value
                assert not value.startswith("//"), value


def test_titles_are_unique_plain_text(pages: list[str]) -> None:
    titles = [re.search(r"<title>(.*?)</title>", text, re.DOTALL) for text in pages[: 2 * len(PAGES)]]
    found = [title[1].strip() for title in titles if title]
    assert len(set(found)) == 2 * len(PAGES)
    assert not any("<" in title for title in found)


def test_no_template_switches_escaping_off_or_shows_a_bare_value() -> None:
    for path in TEMPLATES.iterdir():
        text = path.read_text()
        assert "|safe" not in text.replace(" ", ""), path.name
        assert "autoescape" not in text, path.name


@pytest.mark.parametrize("sample", sorted(SAMPLES))
@pytest.mark.parametrize("path", ["/verify", "/en/verify"])
def test_every_value_from_outside_is_isolated_and_escaped(client_of: Client, sample: str, path: str) -> None:
    members = probed(SAMPLES[sample])
    client = client_of(verify=lambda data, *, content, name: members)
    answer = client.post(path, data={"file": (BytesIO(b"x"), PROBE)}, headers=FROM_OWN_PAGE)
    assert answer.status_code == 200, answer.text[:4000]
    page = Page(answer.text)
    shown = [(text, around) for text, around in page.texts if "probe-7" in text]
    assert shown
    assert all("bdi" in around for _, around in shown), shown
    assert not any("probe-7" in value for _, value in page.attributes)
    assert "\u202e" not in answer.text
    assert "<b>" not in answer.text


def test_a_hostile_file_name_is_shown_with_its_marks(check: Callable[..., Any]) -> None:
    assert "⟦U+202E⟧" in check(b"valid", name="rx\u202enosj.exe").text


def test_page_and_api_tell_the_same(client: FlaskClient, check: Callable[..., Any]) -> None:
    answer = client.post("/api/v1/verify", data={"file": (BytesIO(b"several"), "rx.json")})
    members = json.loads(answer.data)
    page = check(b"several", path="/en/verify").text
    assert members["indication"] in page
    for signature in members["signatures"]:
        assert signature["covered"][0]["sha256"] in page
        assert signature["signer"]["serial"] in page
        for reason in signature["reasons"]:
            assert reason["code"] in page


@pytest.mark.parametrize(
    ("page", "own", "other"),
    [
        ("policy", "A pilot root of its own", "Another authority"),
        ("help", "Its root is its own", "certified its"),
    ],
)
def test_the_pages_say_whether_the_root_is_our_own(client_of: Client, page: str, own: str, other: str) -> None:
    path = page_path(page, Language.EN)
    ours, theirs = (client_of(own_root=whose).get(path).get_data(as_text=True) for whose in (True, False))
    assert (own in ours, other in ours) == (True, False)
    assert (own in theirs, other in theirs) == (False, True)
