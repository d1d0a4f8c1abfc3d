from __future__ import annotations

import re
from io import BytesIO
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.webapp.conftest import FROM_OWN_PAGE, ORIGIN, Client
from webapp.app import create_app
from webapp.security import content_policy, from_own_pages
from webapp.services import Services

OWN = frozenset({ORIGIN})
ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


@pytest.mark.parametrize(
    ("site", "origin", "referer", "accepted"),
    [
        ("same-origin", ORIGIN, None, True),
        (None, ORIGIN, None, True),
        (None, None, ORIGIN + "/verify", True),
        ("same-origin", None, ORIGIN + "/verify?x=1", True),
        ("cross-site", ORIGIN, None, False),
        ("same-site", ORIGIN, None, False),
        ("none", ORIGIN, None, False),
        ("same-origin", "https://evil.example", None, False),
        ("same-origin", "null", ORIGIN + "/", False),
        ("same-origin", None, None, False),
        (None, None, None, False),
        (None, None, "https://mohr.example.evil.example/", False),
        (None, None, "not a url", False),
        (None, None, "http://[", False),
        (None, "http://mohr.example", None, False),
        (None, ORIGIN + ":8443", None, False),
        (None, "", ORIGIN + "/verify", False),
    ],
)
def test_only_our_own_pages_may_send_forms(
    site: str | None, origin: str | None, referer: str | None, accepted: bool
) -> None:
    assert from_own_pages(OWN, fetch_site=site, origin=origin, referer=referer) is accepted


def _addresses(services: Services) -> list[tuple[str, str]]:
    found = []
    for rule in create_app(services).url_map.iter_rules():
        path = rule.rule.replace("<fingerprinted>", "style.css")
        found += [(method, path) for method in sorted((rule.methods or set()) - {"OPTIONS"})]
    return [*found, ("GET", "/no-such-page"), ("GET", "/api/none"), ("DELETE", "/verify"), ("TRACE", "/")]


def test_every_address_answers_with_the_headers(services: Services, client: FlaskClient) -> None:
    addresses = _addresses(services)
    assert len(addresses) > 25
    for method, path in addresses:
        answer = client.open(path, method=method)
        where = f"{method} {path}"
        assert {name: answer.headers.get(name) for name in ALWAYS} == ALWAYS, where
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'"), where
        assert "frame-ancestors 'none'" in policy, where
        assert "unsafe" not in policy, where
        assert "camera=(self)" in answer.headers["Permissions-Policy"], where
        assert answer.headers["Cache-Control"], where
        assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["X-Request-Id"]), where
        assert "Set-Cookie" not in answer.headers, where
        assert "Strict-Transport-Security" not in answer.headers, where


def test_pages_are_not_stored_by_caches(client: FlaskClient) -> None:
    assert client.get("/").headers["Cache-Control"] == "no-store"
    assert client.get("/verify").headers["Cache-Control"] == "no-store"


def test_https_answers_ask_for_https_ever_after(client: FlaskClient) -> None:
    assert "max-age" in client.get("/", base_url="https://mohr.example").headers["Strict-Transport-Security"]


def test_each_page_has_its_own_nonce_and_uses_it(client: FlaskClient) -> None:
    policies = set()
    for _ in range(2):
        answer = client.get("/verify")
        found = re.search(r'nonce="([^"]+)"', answer.text)
        assert found
        assert content_policy(found[1]) == answer.headers["Content-Security-Policy"]
        policies.add(found[1])
    assert len(policies) == 2


def test_a_form_from_another_site_is_refused_and_says_so(client: FlaskClient) -> None:
    def send(headers: dict[str, str]) -> Any:
        return client.post("/verify", data={"file": (BytesIO(b"valid"), "rx.json")}, headers=headers)

    refused = send({"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"})
    assert refused.status_code == 403
    assert "cross-site-refused" in refused.text
    assert send(FROM_OWN_PAGE).status_code == 200


def test_the_api_reads_no_cookie_and_needs_no_origin(client: FlaskClient) -> None:
    assert client.post("/api/v1/verify", data=b"valid", content_type="application/octet-stream").status_code == 200


def test_a_deployer_may_name_further_origins(client_of: Client) -> None:
    client = client_of(origins=frozenset({"http://127.0.0.1:8080"}))
    answer = client.post(
        "/verify", data={"file": (BytesIO(b"valid"), "a")}, headers={"Origin": "http://127.0.0.1:8080"}
    )
    assert answer.status_code == 200
