"""The application that granian runs: plain HTTP, pages and status (HOME in MOHR_HOME)."""

import os
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ca.custody_policy import SERVER
from ca.profiles import IssuerName
from webapp.answer_following import follow_in_background
from webapp.app import create_app
from webapp.callers_allowed import networks
from webapp.checks import check_parts
from webapp.compose import Parts, linting_of, open_parts
from webapp.deployment import Deployment
from webapp.fonts import cut_font
from webapp.health import CachedHealth
from webapp.judging import JudgeProcess
from webapp.logs import start_logging
from webapp.measures import measured
from webapp.request_counts import RequestCounts
from webapp.served_lists import ListFiles, ServedList
from webapp.services import OVER_TLS, PEER_CERTIFICATE, Services
from webapp.status import status_wsgi
from webapp.timestamping import TimestampDesk
from webapp.verification import DeploymentVerifier

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _served_list(deployment: Deployment, files: ListFiles, issuer: str, shard: int, delta: bool) -> ServedList | None:  # noqa: FBT001 - as the services ask
    return files(deployment.delta_file(issuer, shard) if delta else deployment.crl_file(issuer, shard))


def services_of(parts: Parts, requests: RequestCounts) -> Services:
    """Name the parts of a deployment as the web application asks for them."""
    deployment, settings = parts.deployment, parts.settings
    oauth, judge = parts.tokens.oauth, JudgeProcess(pilot=not settings.production)
    health = CachedHealth(partial(check_parts, parts), parts.clock)
    verifier = DeploymentVerifier(deployment, parts.clock)
    timestamps = TimestampDesk(parts.database, parts.authority, parts.keys, parts.oids, parts.clock_guard)
    return Services(
        public_url=settings.public_url,
        clock=parts.clock,
        health=health,
        metrics=lambda: measured(parts, health(), requests),
        metrics_allow=networks(settings.metrics_allow),
        counted=requests.add,
        max_age=settings.status.max_age,
        organization=settings.organization,
        oid_arc=settings.oid_arc,
        own_root=deployment.certificate_file(IssuerName.ROOT).exists(),
        identities=parts.authority.identities,
        origins=frozenset({settings.exchange_url}),
        font_file=cut_font(deployment.cache),
        verify=verifier,
        report=verifier.report,
        ocsp=parts.authority.ocsp,
        stored_ocsp=parts.authority.stored_answer,
        crl=partial(_served_list, deployment, ListFiles()),
        ca_certificate=lambda name: _read(deployment.certificate_file(name)),
        tsa=timestamps.answer,
        checkpoint=lambda: _read(deployment.checkpoint),
        token=oauth.token_endpoint,
        introspection=oauth.introspection_endpoint,
        revocation=oauth.revocation_endpoint,
        jwks=oauth.jwks,
        oauth_metadata=oauth.metadata,
        access=oauth.check_access,
        gate=parts.gate,
        registrations=parts.authority,
        officers=parts.officers,
        est=parts.est,
        activation=parts.activation,
        suspension=parts.suspension,
        holders=parts.holders,
        proposals=parts.proposals,
        status_alarms=parts.status_alarms,
        secrets=parts.secrets,
        evidence=parts.evidence,
        revocation_evidence=parts.revocation_evidence,
        bulk=parts.bulk,
        linting=parts.linting,
        revocations=parts.authority,
        publish_status=parts.publish_status_soon,
        inventory=parts.inventory,
        exports=parts.exports,
        statistics=parts.statistics,
        renewals=parts.renewals,
        issuing=parts.authority.line,
        nonces=parts.nonces,
        lint_first=linting_of(settings, parts.database, parts.clock, judge).judge_before,
    )


def _keep_up(parts: Parts, requests: RequestCounts) -> None:
    try:
        parts.authority.follow_changes()
    finally:
        requests.flush()


def build_application() -> "WSGIApplication":
    """Build the whole application for the deployment that MOHR_HOME names."""
    start_logging()
    parts = open_parts(Deployment(Path(os.environ["MOHR_HOME"])), SERVER)
    requests = RequestCounts(parts.deployment.request_counts, time.monotonic)
    services = services_of(parts, requests)
    follow_in_background(partial(_keep_up, parts, requests))
    return status_wsgi(services, create_app(services))


def create_application() -> "WSGIApplication":
    """Build the application for a listener without client certificates."""
    application = build_application()

    def guarded(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        # granian's environ starts as a copy of the process environment: nobody may plant a certificate there.
        environ.pop(PEER_CERTIFICATE, None)
        environ.pop(OVER_TLS, None)
        return application(environ, start_response)

    return guarded
