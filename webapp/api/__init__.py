"""The JSON API: a file of operations for each trade, one document about all of them."""

from importlib.metadata import version

from flask import Flask

from ca.officers.identity import Officer
from webapp.api import (
    alarms,
    bulk,
    evidence,
    inventory,
    issuing,
    nonces,
    officers,
    public,
    registrations,
    renewals,
    status_changes,
)
from webapp.callers import peer_certificate
from webapp.openapi import Api
from webapp.services import Services, installed


def install(app: Flask, services: Services) -> None:
    """Serve the API and `/openapi.json`."""

    def officer_of_request() -> Officer:
        return installed(services.gate).of_peer(peer_certificate())

    api = Api(
        app,
        title="Mohr",
        version=version("mohr"),
        server=services.public_url,
        officer_of_request=officer_of_request,
    )
    public.install(api, services)
    registrations.install(api, services)
    evidence.install(api, services)
    bulk.install(api, services)
    alarms.install(api, services)
    inventory.install(api, services)
    issuing.install(api, services)
    renewals.install(api, services)
    status_changes.install(api, services)
    nonces.install(api, services)
    officers.install(api, services)
    api.serve_document("/openapi.json")
