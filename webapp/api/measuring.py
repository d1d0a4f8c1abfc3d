"""Measured values for the operator's own machines, in the text format of Prometheus."""

from typing import Final

from flask import Response, request

from pki.errors import ErrorCode, NotAllowed
from webapp.callers_allowed import is_allowed
from webapp.metrics import CONTENT_TYPE
from webapp.openapi import PUBLIC, Api, Operation
from webapp.services import Services, installed

METRICS: Final = Operation(
    method="GET",
    path="/metrics",
    name="metrics",
    summary="Measured values",
    description=(
        "Ages and ends of lists, answers and certificates, sweeps, counts. Answered to the networks of `metrics_allow` "
        "alone (loopback unless set), and to no request that a proxy passed on. No personal data."
    ),
    answer=None,
    media_types=("text/plain",),
    problems=(ErrorCode.NOT_ALLOWED, ErrorCode.UNAVAILABLE),
    security=PUBLIC,
)


def install(api: Api, services: Services) -> None:
    """Serve `/metrics`."""

    def metrics() -> Response:
        if not is_allowed(request.environ, services.metrics_allow):
            raise NotAllowed(ErrorCode.NOT_ALLOWED, "/metrics is for the networks of metrics_allow")
        answer = Response(installed(services.metrics)(), content_type=CONTENT_TYPE)
        answer.headers["Cache-Control"] = "no-store"
        return answer

    api.add(METRICS, metrics)
