"""When the services' own certificates are looked after: each hour, and at once when one of them was revoked."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pki.errors import ServiceError
from webapp.own_certificates import renew_services

if TYPE_CHECKING:
    from webapp.compose import Parts

ALL_SECONDS: Final = 3600.0
RETRY_SECONDS: Final = 5.0


class ServiceUpkeep:
    """The worker's care for the services' certificates: all of them each hour, and at once when one is revoked.

    Until a revoked responder has its successor, its authority answers `tryLater`. A look that finds nothing reads one
    row of the feed. What failed is tried again after `RETRY_SECONDS`, and is raised meanwhile.
    """

    def __init__(
        self,
        renew: Callable[["Parts"], object] = renew_services,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._renew, self._monotonic = renew, monotonic
        self._position: int | None = None
        self._due = 0.0
        self._failure: ServiceError | None = None

    def __call__(self, parts: "Parts") -> None:
        """Renew what is due."""
        now = self._monotonic()
        self._position, changed = parts.authority.have_services_changed(self._position)
        if changed or now >= self._due:
            self._due, self._failure = now + RETRY_SECONDS, None
            try:
                self._renew(parts)
            except ServiceError as error:
                self._failure = error
                raise
            self._due = now + ALL_SECONDS
        elif self._failure is not None:
            raise self._failure.with_traceback(None)
