"""J6, J11, J12: anyone checks a file in a browser and understands the verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.conftest import OpenPage, Site, shoot
from webapp.addresses import PAGES, Language, page_path
from webapp.uploads import MAX_REQUEST_OCTETS

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.real

PHONE, DESK = (360, 740), (1280, 800)
VERDICTS = {
    "valid.json": ("valid", "امضا معتبر است.", "The signature is valid."),
    "deferred.json": ("deferred", "امضا معلق است:", "The signature is deferred:"),
    "revoked.json": ("revoked", "گواهی امضاکننده باطل شده است.", "The signer's certificate is revoked."),
    "broken.json": ("broken", "امضا نامعتبر است.", "The signature is invalid."),
    "refused.json": ("refused", "این امضا پذیرفتنی نیست.", "The signature cannot be accepted."),
    "unsigned.pdf": ("unsigned", "این فایل امضایی ندارد.", "This file carries no signature."),
    "unknown.bin": ("unknown-format", "قالب این فایل شناخته نشد.", "The format of this file is not known."),
}
AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

REPORT_OPENINGS = {"pdf": b"%PDF-", "html": b"<!doctype html>", "json": b"{", "xml": b"<?xml"}


def check(page: Page, site: Site, file: Path, language: Language = Language.FA) -> None:
    page.goto(site.url + page_path("verify", language))
    page.set_input_files("#file", file)
    page.click("button[type=submit]")
    page.wait_for_load_state()


def violations(page: Page) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    options = {"runOnly": {"type": "tag", "values": AXE_TAGS}}
    found: list[dict[str, Any]] = Axe().run(page, options=options).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found if one["impact"] in ("serious", "critical")]


def resize(page: Page, size: tuple[int, int]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    assert page.evaluate("innerWidth") == size[0]


def scrolls_sideways(page: Page) -> bool:
    wider: bool = page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    return wider


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize("file", sorted(VERDICTS))
def test_a_file_gets_its_verdict(open_page: OpenPage, site: Site, file: str, language: Language) -> None:
    state, *sentences = VERDICTS[file]
    with open_page() as page:
        check(page, site, site.files / file, language)
        for size in (PHONE, DESK):
            resize(page, size)
            assert sentences[language is Language.EN] in page.inner_text("h1")
            assert page.is_visible(f".verdict.tone-{state} svg.icon-large")
            assert not scrolls_sideways(page)
            shoot(page, f"j6-2-{state}-{language}-{size[0]}")
        assert violations(page) == []


def test_the_verdict_names_signer_time_and_proof(open_page: OpenPage, site: Site) -> None:
    with open_page() as page:
        check(page, site, site.files / "valid.json")
        text = page.inner_text("main")
        for fact in ("نمونهٔ پزشک", "پزشک", "۱۲۳۴۵۶", "۱ آذر ۱۴۰۵، ساعت ۱۰:۳۰", "Test TSA", "باطل نشده"):
            assert fact in text, fact


@pytest.mark.parametrize("language", list(Language))
@pytest.mark.parametrize("name", sorted(PAGES))
def test_each_page_is_accessible_and_fits(open_page: OpenPage, site: Site, name: str, language: Language) -> None:
    with open_page() as page:
        page.goto(site.url + page_path(name, language))
        for size in (PHONE, DESK):
            resize(page, size)
            assert not scrolls_sideways(page)
            shoot(page, f"site-1-{name}-{language}-{size[0]}")
        assert violations(page) == []


@pytest.mark.parametrize("name", ["home", "verify", "help", "status"])
def test_large_text_on_a_narrow_screen_does_not_scroll_sideways(open_page: OpenPage, site: Site, name: str) -> None:
    with open_page(width=320, height=640) as page:
        for language in Language:
            page.goto(site.url + page_path(name, language))
            assert not scrolls_sideways(page)
            page.evaluate("document.documentElement.style.fontSize = '200%'")
            assert not scrolls_sideways(page)


FOCUS = """() => {
  const e = document.activeElement;
  const ring = e.closest(".picker") || e;
  const box = ring.getBoundingClientRect(), style = getComputedStyle(ring);
  const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
  return {
    name: e.tagName + "#" + (e.id || e.textContent.trim()), body: e === document.body,
    outlined: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    seen: box.width > 0 && box.top >= 0 && box.bottom <= innerHeight + 1 && ring.contains(top),
    place: [...document.querySelectorAll("*")].indexOf(e),
  };
}"""


@pytest.mark.parametrize("name", ["home", "verify", "help"])
def test_the_keyboard_reaches_everything_in_reading_order(open_page: OpenPage, site: Site, name: str) -> None:
    with open_page(height=1000) as page:
        page.goto(site.url + page_path(name, Language.FA))
        focusable = page.locator("a[href], input, button, summary").count()
        hidden = page.locator("details:not([open]) :is(a[href], input, button)").count()
        places = []
        for _ in range(focusable - hidden):
            page.keyboard.press("Tab")
            stop = page.evaluate(FOCUS)
            assert not stop["body"]
            assert stop["outlined"], stop
            assert stop["seen"], stop
            places.append(stop["place"])
        assert places == sorted(set(places))
        page.keyboard.press("Tab")
        assert page.evaluate(FOCUS)["place"] not in places[1:]


def test_the_journey_works_by_keyboard_alone(open_page: OpenPage, site: Site) -> None:
    with open_page() as page:
        # Listening from the start: Chromium must know that the chooser is ours before the key is pressed.
        page.on("filechooser", lambda chooser: chooser.set_files(site.files / "valid.json"))
        page.goto(site.url)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.goto(site.url + "/verify")
        while page.evaluate("document.activeElement.id") != "file":
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_selector(".picker-text >> text=valid.json")
        while page.evaluate("document.activeElement.type") != "submit":
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_selector(".verdict")
        assert page.inner_text("h1") == "امضا معتبر است."


def test_the_journey_works_without_script(open_page: OpenPage, site: Site) -> None:
    with open_page(java_script_enabled=False) as page:
        check(page, site, site.files / "valid.json")
        assert page.inner_text("h1") == "امضا معتبر است."
        page.click("details.technical >> nth=0 >> summary")
        assert page.is_visible("text=TOTAL-PASSED")


@pytest.mark.parametrize("script", [True, False])
def test_an_empty_file_is_told_where_the_mistake_is(open_page: OpenPage, site: Site, script: bool) -> None:
    with open_page(java_script_enabled=script, refusals=True) as page:
        check(page, site, site.files / "empty.json")
        assert page.title().startswith("خطا:")
        assert page.inner_text(".summary h2") == "مشکلی هست"
        if script:
            assert page.evaluate("document.activeElement.className") == "summary"
            shoot(page, "j6-3-empty-fa-1280")
            assert violations(page) == []
        page.click(".summary a")
        assert page.url.endswith("#file")


def test_a_file_too_large_is_refused_before_it_is_sent(open_page: OpenPage, site: Site, tmp_path: Path) -> None:
    big = tmp_path / "big.bin"
    with big.open("wb") as file:
        file.truncate(MAX_REQUEST_OCTETS + 1)
    with open_page() as page:
        page.goto(site.url + "/verify")
        page.set_input_files("#file", big)
        page.click("button[type=submit]")
        assert "بزرگ‌تر" in page.inner_text("#file-error")
        assert page.evaluate("document.activeElement.id") == "file"
    with open_page(java_script_enabled=False, refusals=True) as page:
        check(page, site, big)
        assert "بزرگ‌تر" in page.inner_text(".summary")


def test_a_hostile_file_name_cannot_turn_the_page_around(open_page: OpenPage, site: Site) -> None:
    with open_page() as page:
        page.goto(site.url + "/verify")
        data = (site.files / "unknown.bin").read_bytes()
        page.set_input_files(
            "#file", {"name": "invoice\u202efdp.exe", "mimeType": "application/octet-stream", "buffer": data}
        )
        page.click("button[type=submit]")
        page.wait_for_selector(".verdict")
        assert "⟦U+202E⟧" in page.inner_text(".verdict-when")
        assert "\u202e" not in page.content()


def test_real_prescriptions_of_another_country_are_intact_but_not_accepted(
    open_page: OpenPage, site: Site, vectors: Path
) -> None:
    file = min((vectors / "cms-prescriptions").glob("*.p7m"))
    with open_page() as page:
        check(page, site, file)
        assert page.inner_text("h1") == "این امضا پذیرفتنی نیست."
        assert "از زمان امضا تغییر نکرده است." in page.inner_text("main")
        shoot(page, "j6-4-foreign-fa-1280")


def test_a_first_view_is_light(open_page: OpenPage, site: Site) -> None:
    with open_page() as page:
        sizes: list[int] = []
        session = page.context.new_cdp_session(page)
        session.send("Network.enable")
        session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
        page.goto(site.url, wait_until="networkidle")
        assert len(sizes) >= 3
        assert sum(sizes) <= 75 * 1024


def test_a_verdict_prints_without_the_site_around_it(open_page: OpenPage, site: Site) -> None:
    with open_page() as page:
        check(page, site, site.files / "valid.json")
        page.emulate_media(media="print")
        assert not page.is_visible("nav >> nth=0")
        assert page.is_visible(".verdict")
        assert page.is_visible("text=TOTAL-PASSED")
        shoot(page, "j6-5-print-fa-1280")


def test_outcomes_differ_without_colour(open_page: OpenPage, site: Site) -> None:
    outlines = set()
    with open_page(forced_colors="active") as page:
        for file in ("valid.json", "deferred.json", "revoked.json", "broken.json"):
            check(page, site, site.files / file)
            outlines.add(page.inner_html(".verdict svg"))
            stroke = page.evaluate("getComputedStyle(document.querySelector('.verdict .shape')).stroke")
            assert stroke != "none"
    assert len(outlines) == 4


def test_reports_are_taken_away_after_a_verdict_without_script(open_page: OpenPage, site: Site) -> None:
    with open_page(java_script_enabled=False) as page:
        page.goto(site.url + "/verify")
        page.set_input_files("#file", site.files / "valid.json")
        page.click("button[type=submit]")
        page.wait_for_selector(".verdict")
        page.set_input_files("#file", site.files / "valid.json")
        shoot(page, "j6-6-report-fa-1280")
        taken = {}
        for kind in REPORT_OPENINGS:
            with page.expect_download(timeout=120_000) as waiting:
                page.click(f"button[value={kind}]")
            assert waiting.value.suggested_filename.endswith(f".{kind}")
            taken[kind] = waiting.value.path().read_bytes()
        assert {kind: data[: len(REPORT_OPENINGS[kind])] for kind, data in taken.items()} == REPORT_OPENINGS
        assert json.loads(taken["json"])["indication"] == "TOTAL-PASSED"
        assert page.inner_text("h1") == "امضا معتبر است."
