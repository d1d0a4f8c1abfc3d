from __future__ import annotations

import gzip
import os
import re
from pathlib import Path

import brotli  # type: ignore[import-untyped]  # no type information upstream
import pytest
from flask.testing import FlaskClient

from tests.webapp.conftest import Client
from webapp.assets import Assets
from webapp.fonts import cut_font, font_file

KB = 1024


@pytest.fixture(scope="module")
def font(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cut_font(tmp_path_factory.mktemp("cache"), installed=tmp_path_factory.mktemp("nothing"))


def test_files_are_named_by_content_and_kept_for_a_year(client: FlaskClient) -> None:
    url = re.search(r'href="(/static/style\.[0-9a-f]{10}\.css)"', client.get("/").text)
    assert url
    answer = client.get(url[1])
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.content_type == "text/css; charset=utf-8"
    assert client.get("/static/style.0000000000.css").status_code == 404
    assert client.get("/static/style.css").status_code == 404
    assert client.get("/static/../app.py").status_code == 404


def test_files_come_compressed_as_the_browser_likes(client: FlaskClient) -> None:
    url = Assets(None).url("style.css")
    plain = client.get(url).data
    for accepted, unpack in (("gzip, deflate", gzip.decompress), ("gzip, br", brotli.decompress)):
        answer = client.get(url, headers={"Accept-Encoding": accepted})
        assert answer.headers["Vary"] == "Accept-Encoding"
        assert len(answer.data) < len(plain) / 2
        assert unpack(answer.data) == plain


def test_without_a_font_pages_use_the_system_s(client: FlaskClient) -> None:
    assert "woff2" not in client.get("/").text


def test_a_font_is_preloaded_and_named_in_the_style(client_of: Client, font: Path) -> None:
    client = client_of(font_file=font)
    url = Assets(font).url("font.woff2")
    assert url in client.get("/").text
    assert url in client.get(Assets(font).url("style.css")).text
    assert client.get(url).content_type == "font/woff2"


def test_the_font_is_cut_once_small_and_has_persian(font: Path) -> None:
    from fontTools.ttLib import TTFont

    assert font.stat().st_size <= 32 * KB
    before = font.stat().st_mtime_ns
    assert cut_font(font.parent) == font == font_file(font.parent)
    assert font.stat().st_mtime_ns == before
    characters = TTFont(font).getBestCmap()
    for char in "آابپتثجچحخدذرزژسشصضطظعغفقکگلمنوهیءئؤأۀً۰۱۲۳۴۵۶۷۸۹،؛؟«»\u200cAZaz09":
        assert ord(char) in characters, char


def test_a_font_that_was_cut_where_mohr_is_installed_is_taken(font: Path, tmp_path: Path) -> None:
    marked = tmp_path / "installed" / font.name
    marked.parent.mkdir()
    marked.write_bytes(font.read_bytes() + b"marked")
    before = os.umask(0o077)  # who starts the server may be another user than who reads the font
    try:
        taken = cut_font(tmp_path / "cache", installed=marked.parent)
    finally:
        os.umask(before)
    assert (taken.stat().st_mode & 0o777, taken.parent.stat().st_mode & 0o777) == (0o644, 0o755)
    assert taken.name == font.name
    assert taken.read_bytes() == marked.read_bytes()
    assert [path.name for path in taken.parent.iterdir()] == [font.name]


def test_the_first_view_stays_within_its_budget(client_of: Client, font: Path) -> None:
    client = client_of(font_file=font)
    for page in ("/", "/en/", "/verify", "/help", "/cps"):
        html = client.get(page).text
        sizes = {"html": len(gzip.compress(html.encode()))}
        for url in set(re.findall(r'(?:href|src)="(/static/[^"]+)"', html)):
            kind = url.rpartition(".")[2]
            sizes[kind] = sizes.get(kind, 0) + len(client.get(url, headers={"Accept-Encoding": "gzip"}).data)
        assert sizes["html"] <= 15 * KB
        assert sizes["css"] <= 12 * KB
        assert sizes.get("js", 0) <= 12 * KB
        assert sum(sizes.values()) <= 75 * KB, (page, sizes)
