"""Static files: read once at start, named by their content, kept by browsers for a year."""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import brotli  # type: ignore[import-untyped]  # no type information upstream
from flask import Flask, Response, request

from pki.errors import ErrorCode, NotFound

STATIC: Final = Path(__file__).with_name("static")
CACHE_CONTROL: Final = "public, max-age=31536000, immutable"
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One file as it is sent: plain and compressed."""

    content_type: str
    body: bytes
    gzip: bytes | None
    brotli: bytes | None


class Assets:
    """All static files by fingerprinted name. `url("style.css")` gives the address of the present version."""

    def __init__(self, font_file: Path | None) -> None:
        self._served: dict[str, Asset] = {}
        self._names: dict[str, str] = {}
        if font_file is not None and font_file.is_file():
            self._add("font.woff2", font_file.read_bytes())
        for path in sorted(STATIC.iterdir()):
            body = path.read_bytes()
            if path.suffix == ".css":
                body = body.replace(b"__FONT_URL__", self.url("font.woff2").encode())
            self._add(path.name, body)

    def _add(self, name: str, body: bytes) -> None:
        stem, dot, suffix = name.rpartition(".")
        fingerprinted = f"{stem}.{hashlib.sha256(body).hexdigest()[:10]}{dot}{suffix}"
        packed = suffix != "woff2"
        self._served[fingerprinted] = Asset(
            content_type=_TYPES[f".{suffix}"],
            body=body,
            gzip=gzip.compress(body, mtime=0) if packed else None,
            brotli=brotli.compress(body) if packed else None,
        )
        self._names[name] = fingerprinted

    def url(self, name: str) -> str:
        """Return the address of a file; empty when this deployment lacks it (the font alone may be missing)."""
        fingerprinted = self._names.get(name)
        return f"/static/{fingerprinted}" if fingerprinted else ""

    def response(self, fingerprinted: str) -> Response:
        """Send one file, compressed as the browser likes; NotFound for another version's name."""
        asset = self._served.get(fingerprinted)
        if asset is None:
            raise NotFound(ErrorCode.NOT_FOUND)
        accepted = request.headers.get("Accept-Encoding", "")
        body, encoding = asset.body, None
        if asset.brotli is not None and "br" in accepted:
            body, encoding = asset.brotli, "br"
        elif asset.gzip is not None and "gzip" in accepted:
            body, encoding = asset.gzip, "gzip"
        answer = Response(body, content_type=asset.content_type)
        answer.headers["Cache-Control"] = CACHE_CONTROL
        answer.headers["Vary"] = "Accept-Encoding"
        if encoding:
            answer.headers["Content-Encoding"] = encoding
        return answer


def install(app: Flask, assets: Assets) -> None:
    """Serve the files and give the templates `asset()`."""
    app.jinja_env.globals["asset"] = assets.url
    app.add_url_rule("/static/<fingerprinted>", "static", assets.response, methods=["GET"])
