"""How long answers are good and kept is the deployer's: `[status]` of `mohr.toml`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from werkzeug.test import Client as WsgiClient

from pki.errors import InvalidInput
from tests.webapp.test_deployment import SETTINGS
from tests.webapp.test_ocsp_over_http import BASE64, answer_of
from tests.webapp.test_status import fallback
from webapp.compose import authority_settings
from webapp.deployment_settings import parse_settings, settings_toml
from webapp.services import Services
from webapp.status import status_wsgi
from webapp.status_settings import StatusSettings


def test_what_is_written_is_read_again_and_reaches_the_authority() -> None:
    decided = StatusSettings(
        ocsp_hours=12, crl_shards=128, crl_deltas=True, crl_interval_minutes=30, max_age_seconds=15
    )
    read = parse_settings(settings_toml(replace(SETTINGS, status=decided)), profiles=None, identities=None)
    assert read.status == decided
    own = authority_settings(read)
    assert (own.ocsp_validity, own.ocsp_refresh) == (timedelta(hours=12), timedelta(hours=4))
    assert (own.crl_interval, own.shards_of("persons")) == (timedelta(minutes=30), 128)
    assert b"[status]" not in settings_toml(SETTINGS)


@pytest.mark.parametrize(
    "line",
    [
        "max_age_seconds = 0",
        "max_age_seconds = 3601",
        "max_age_seconds = true",
        "ocsp_hours = 1.5",
        'crl_shards = "4"',
        'crl_deltas = "yes"',
        "unheard_of = 1",
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(line: str) -> None:
    with pytest.raises(InvalidInput, match=line.split(" ", 1)[0]):
        parse_settings(settings_toml(SETTINGS) + f"[status]\n{line}\n".encode(), profiles=None, identities=None)


@pytest.mark.parametrize("hours", [0, 169])
def test_answers_are_good_for_an_hour_to_a_week(hours: int) -> None:
    with pytest.raises(InvalidInput, match="ocsp_hours"):
        authority_settings(replace(SETTINGS, status=StatusSettings(ocsp_hours=hours)))


def test_caches_are_told_the_deployers_time(services: Services) -> None:
    data = answer_of()
    http = WsgiClient(status_wsgi(replace(services, ocsp=lambda _request: data, max_age=15), fallback))
    assert "max-age=15" in http.get("/ocsp/" + BASE64).headers["Cache-Control"]
