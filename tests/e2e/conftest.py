"""A real server and a real browser, once for all tests of this folder; both are skipped where they are missing."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.door import Door, opened_door
from tests.e2e.world import make_world
from tests.support.deployment import (
    LiveDeployment,
    live,  # noqa: F401 - a fixture
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

REPOSITORY = Path(__file__).parents[2]
SHOTS = REPOSITORY / "var" / "shots"
CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WAIT_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where the server answers and which files can be checked on it."""

    url: str
    files: Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=2) as answer:  # noqa: S310 - our own http address
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The application under granian, as it is served in a deployment."""
    pytest.importorskip("granian")
    folder = tmp_path_factory.mktemp("site")
    home, files = folder / "home", folder / "files"
    make_world(home, files)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        *(sys.executable, "-m", "granian", "--interface", "wsgi", "--factory", "tests.e2e.site:create_application"),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--blocking-threads", "1"),
        *("--http", "1", "--no-ws", "--log-level", "warning"),
    ]
    environment = {**os.environ, "MOHR_E2E_HOME": str(home), "MOHR_E2E_URL": url, "PYTHONPATH": str(REPOSITORY)}
    with (
        (folder / "server.log").open("wb") as log,
        subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=log, stderr=log) as server,
    ):
        try:
            deadline = time.monotonic() + WAIT_SECONDS
            while not answers(url):
                if server.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"the server did not start:\n{(folder / 'server.log').read_text()[-2000:]}")
                time.sleep(0.1)
            yield Site(url=url, files=files)
        finally:
            server.terminate()
            server.wait(WAIT_SECONDS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium through Playwright; no browser is downloaded.

    For a module, not for the session: while it lives, Playwright's event loop runs in this thread, and no other test
    could run one of its own.
    """
    playwright = pytest.importorskip("playwright.sync_api")
    if shutil.which(CHROMIUM) is None:
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        chromium.close()


@dataclass(slots=True)
class Watch:
    """What a page did that no page may do."""

    complaints: list[str] = field(default_factory=list)


OpenPage = Callable[..., Any]


@pytest.fixture
def open_page(browser: Browser, site: Site) -> OpenPage:
    """Open a context with one page; any request to another host and any console message fails the test.

    Answers with 4xx are noted by Chromium as errors; a test that wants one says so by `refusals=True`.
    """

    @contextmanager
    def opened(*, width: int = 1280, height: int = 800, refusals: bool = False, **options: Any) -> Iterator[Page]:
        watch = Watch()
        context = browser.new_context(
            locale="fa-IR", timezone_id="Asia/Tehran", viewport={"width": width, "height": height}, **options
        )
        page = context.new_page()

        def said(text: str) -> None:
            if not (refusals and "the server responded with a status of 4" in text):
                watch.complaints.append(text)

        def asked(url: str) -> None:
            if not url.startswith((site.url + "/", "blob:", "data:")):
                watch.complaints.append(f"request to {url}")

        page.on("console", lambda message: said(message.text))
        page.on("pageerror", lambda error: said(str(error)))
        page.on("request", lambda request: asked(request.url))
        try:
            yield page
        finally:
            context.close()
        assert watch.complaints == []

    return opened


def shoot(page: Page, name: str) -> None:
    """Keep a picture of the whole page in `var/shots`, where somebody made that folder to look at pictures."""
    if not SHOTS.is_dir():
        return
    page.wait_for_function("document.fonts.status === 'loaded'")
    page.screenshot(path=SHOTS / f"{name}.png", full_page=True)


@pytest.fixture(scope="module")
def door(live: LiveDeployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:  # noqa: F811 - a fixture
    """The exchange listener of the session's deployment."""
    with opened_door(live, tmp_path_factory.mktemp("door"), free_port()) as found:
        yield found
