"""The JSON API: a file of operations for each trade, one document about all of them."""

from hashlib import sha256
from importlib.metadata import version

from flask import Flask

from ca.officers.identity import Officer
from webapp.api import (
    activations,
    alarms,
    bulk,
    evidence,
    inventory,
    issuing,
    measuring,
    nonces,
    officers,
    public,
    registrations,
    renewals,
    revocation_evidence,
    revocations,
    status_alarms,
    status_changes,
    suspensions,
)
from webapp.callers import peer_certificate
from webapp.openapi import Api
from webapp.remembered import Remembered
from webapp.services import Services, installed


def install(app: Flask, services: Services) -> None:
    """Serve the API and `/openapi.json`."""
    gate, clock = services.gate, services.clock
    known: Remembered[Officer] = Remembered()

    def officer_of_request() -> Officer:
        """Tell whose certificate the connection shows; whether they may act is asked where the act is decided."""
        der = peer_certificate()
        if der is None:
            return installed(gate).of_peer(None)
        digest = sha256(der).hexdigest()
        return known.get(digest, clock.now(), lambda: installed(gate).of_peer(der), keep=lambda _officer: True)

    api = Api(
        app,
        title="Mohr",
        version=version("mohr"),
        server=services.public_url,
        officer_of_request=officer_of_request,
    )
    public.install(api, services)
    measuring.install(api, services)
    registrations.install(api, services)
    activations.install(api, services)
    evidence.install(api, services)
    bulk.install(api, services)
    alarms.install(api, services)
    inventory.install(api, services)
    issuing.install(api, services)
    renewals.install(api, services)
    status_changes.install(api, services)
    suspensions.install(api, services)
    revocations.install(api, services)
    revocation_evidence.install(api, services)
    status_alarms.install(api, services)
    nonces.install(api, services)
    officers.install(api, services)
    api.serve_document("/openapi.json")
