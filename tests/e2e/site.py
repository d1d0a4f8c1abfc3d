"""The application under a real server: real pages, real verifier, a clock that stands still.

The place and the public address come from the environment: this is the composition root of the browser tests.
"""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.pki import NOW
from webapp.app import create_app
from webapp.deployment import Deployment
from webapp.fonts import cut_font
from webapp.health import HealthReport, PartHealth, PartState
from webapp.services import Services
from webapp.status import status_wsgi
from webapp.verification import DeploymentVerifier

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

SINCE = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)


class StandingClock:
    """Always the tests' instant."""

    def now(self) -> datetime:
        """Return the instant at which the test certificates live."""
        return NOW


def health() -> HealthReport:
    """Say that the worker is silent and all else in order."""
    return HealthReport(
        at=NOW,
        parts=(
            PartHealth(name="custodian", state=PartState.OK, since=SINCE),
            PartHealth(name="database", state=PartState.OK, since=SINCE),
            PartHealth(name="worker", state=PartState.SILENT, since=SINCE, vital=False),
        ),
    )


def create_application() -> "WSGIApplication":
    """Build the application over the folder that the test made."""
    home = Path(os.environ["MOHR_E2E_HOME"])
    clock = StandingClock()
    verifier = DeploymentVerifier(Deployment(home), clock)
    services = Services(
        public_url=os.environ["MOHR_E2E_URL"],
        clock=clock,
        health=health,
        font_file=cut_font(home / "cache"),
        verify=verifier,
        report=verifier.report,
    )
    return status_wsgi(services, create_app(services))
