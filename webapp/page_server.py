"""The program of the pages (`python -m webapp.page_server HOST PORT`, HOME in MOHR_HOME): granian, and two workers.

Workers are forked from a process that has loaded the application's modules, so that one that ends is replaced within a
moment, as often as that happens.
"""

import sys
import time
from typing import Any, Final

from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.server.mp import MPServer

from webapp.wsgi import create_application

WORKERS: Final = 2
THREADS: Final = 16  # of each worker: a sender that is slow with its body holds one
WAITING: Final = 64  # connections of a worker, beyond which it accepts none
FIRST_PAUSE, LONGEST_PAUSE, QUIET_SECONDS = 0.02, 0.5, 5.0


class PageServer(MPServer):
    """granian, which would end with all workers when one ends twice within seconds; this one waits a little longer."""

    _pause = 0.0
    _last = 0.0

    def _respawn_workers(self, *arguments: Any, **options: Any) -> None:
        is_quiet = time.monotonic() - self._last > QUIET_SECONDS
        self._pause = 0.0 if is_quiet else min(max(2 * self._pause, FIRST_PAUSE), LONGEST_PAUSE)
        time.sleep(self._pause)
        super()._respawn_workers(*arguments, **options)
        self.respawned_wrks.clear()  # by which it would know a second end
        self._last = time.monotonic()


def main() -> None:
    """Serve pages and status until told to stop."""
    host, port = sys.argv[1:]
    PageServer(
        "webapp.wsgi:create_application",
        address=host,
        port=int(port),
        interface=Interfaces.WSGI,
        workers=WORKERS,
        blocking_threads=THREADS,
        backpressure=WAITING,
        http=HTTPModes.http1,
        websockets=False,
        respawn_failed_workers=True,
        log_level=LogLevels.error,  # it warns of the number of threads at every start
    ).serve(target_loader=lambda _target: create_application())


if __name__ == "__main__":
    main()
