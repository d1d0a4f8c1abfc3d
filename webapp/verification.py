"""Verification for the public page and the API, with the deployment's own anchors and published lists.

Nothing is fetched on behalf of an uploaded file: a certificate in it could name any address of our network.
"""

from collections.abc import Mapping
from typing import Any

from pki.clock import Clock
from signer.validation.context import VerificationContext
from signer.validation.policy import DEFAULT
from signer.validation.report import verdict_json
from signer.validation.status_local import LocalStatus, load_trust
from signer.validation.verify import verify_bytes
from webapp.deployment import Deployment


class DeploymentVerifier:
    """A `webapp.services.Verifier` over one deployment's public folder."""

    def __init__(self, deployment: Deployment, clock: Clock) -> None:
        self._trust = load_trust(deployment.home)
        self._policy = self._trust.reading(DEFAULT)
        self._status = (LocalStatus(folder=deployment.public / "crl"),)
        self._clock = clock

    def __call__(self, data: bytes, *, content: bytes | None, name: str) -> Mapping[str, Any]:
        """Return the verdict on `data` as one `mohr verify --json` line holds it."""
        context = VerificationContext(
            at=self._clock.now(),
            anchors=self._trust.anchors,
            intermediates=self._trust.intermediates,
            status_sources=self._status,
            policy=self._policy,
            content=content,
        )
        return verdict_json(verify_bytes(data, context), name)
