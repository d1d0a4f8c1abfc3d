"""`start.second`: from the command to a served page, on a deployment that exists."""

import signal
import subprocess
import sys
import time

from pki.errors import ErrorCode, Unavailable
from webapp.bench.measure import Figure, median_ms
from webapp.commands.serve import is_served
from webapp.deployment import Deployment

DEADLINE_SECONDS = 30.0


def _start_once(deployment: Deployment) -> float:
    bind = deployment.settings().public_bind
    command = [sys.executable, "-m", "webapp", "serve", "--home", str(deployment.home), "--bind", bind]
    before = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 - our own program
    try:
        while not is_served(bind):
            if child.poll() is not None or time.perf_counter() - before > DEADLINE_SECONDS:
                raise Unavailable(ErrorCode.UNAVAILABLE, "the server did not start")
            time.sleep(0.02)
        return time.perf_counter() - before
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(DEADLINE_SECONDS)


def start_figure(deployment: Deployment) -> Figure:
    """Start the deployment three times and take the median."""
    taken = sorted(_start_once(deployment) for _ in range(3))
    floor = median_ms(lambda: subprocess.run([sys.executable, "-c", "import flask"], check=True), runs=5)
    return Figure(
        name="start.second",
        value=round(taken[1], 3),
        unit="s",
        peer=None,
        peer_value=None,
        floor="one Python process that imports Flask, s",
        floor_value=round(floor / 1000, 3),
        note="mohr serve on an existing deployment until /healthz answers; starts four programs, two web workers",
    )
