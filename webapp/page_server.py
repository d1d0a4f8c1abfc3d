"""The program of the pages (`python -m webapp.page_server HOST PORT`, HOME in MOHR_HOME): granian, and two workers.

Workers are forked from a process that has loaded the application's modules, so that one that ends is replaced within a
moment, as often as that happens.
"""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

from webapp.slow_peers import Pace
from webapp.whole_bodies import Room, allow_descriptors, unhurried
from webapp.wsgi import create_application

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

WORKERS: Final = 2
HEAD_SECONDS: Final = 10.0  # from the first moment of a connection, or the last answer on it, to a whole head
CONNECTIONS: Final = 2048  # of a worker, beyond which it accepts none; a silent one costs some kilobytes
# granian spreads requests over all of its threads, and each thread that it has more makes all of them slower.
ROOM: Final = Room(work=12, spare=4, small=8, large=4)
PACE: Final = Pace()
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


def serve_pages(
    load: "Callable[[], WSGIApplication]",
    host: str,
    port: int,
    *,
    workers: int = WORKERS,
    room: Room = ROOM,
    pace: Pace = PACE,
    head_seconds: float = HEAD_SECONDS,
) -> None:
    """Serve what each worker loads by `load`, until told to stop."""
    PageServer(
        "webapp.wsgi:create_application",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=room.threads,
        backpressure=CONNECTIONS,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=round(head_seconds * 1000)),
        websockets=False,
        respawn_failed_workers=True,
        log_level=LogLevels.error,  # it warns of the number of threads at every start
    ).serve(target_loader=lambda _target: unhurried(load(), port, room, pace))


def main() -> None:
    """Serve pages and status until told to stop."""
    host, port = sys.argv[1:]
    allow_descriptors(2 * CONNECTIONS)
    serve_pages(create_application, host, int(port))


if __name__ == "__main__":
    main()
