"""The exchange listener of a deployment, as `mohr serve` runs it, and curl that knocks there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.deployment import LiveDeployment
from webapp.commands.serve import programs
from webapp.deployment import Deployment
from webapp.separation import Separation
from webapp.system_users import Account, Accounts


@dataclass(frozen=True, kw_only=True)
class Door:
    """The exchange listener of a deployment and whoever knocks."""

    url: str
    deployment: Deployment
    folder: Path
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """End the listener and all its workers as a power cut does."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=20)

    def _command(self, officer: str | None) -> list[str]:
        command = ["curl", "--silent", "--max-time", "20", "--cacert", str(self.deployment.anchor)]
        if officer is not None:
            place = self.deployment.officers / officer
            command += ["--cert", str(place / "certificate.pem"), "--key", str(place / "key.pem")]
        return command

    def curl(self, path: str, *words: str, officer: str | None = None, body: object = None) -> tuple[int, Any]:
        """Ask with curl; return status and JSON."""
        command = self._command(officer)
        if body is not None:
            command += ["--header", "Content-Type: application/json", "--data-binary", json.dumps(body)]
        ended = subprocess.run(
            [*command, *words, "--write-out", "\n%{http_code}", self.url + path],
            check=True,
            capture_output=True,
            text=True,
        )
        answer, _, status = ended.stdout.rpartition("\n")
        return int(status), json.loads(answer)

    def curl_to(self, path: str, target: Path, *words: str, officer: str) -> None:
        """Get what is no JSON into a file; it must succeed."""
        command = [*self._command(officer), "--fail", "--output", str(target), *words, self.url + path]
        subprocess.run(command, check=True, capture_output=True)


def _one_user() -> Separation:
    us = Account(os.getuid(), os.getgid())
    return Separation(
        Accounts(**{name: us for name in Accounts.__dataclass_fields__ if name != "data"}, data=us.gid), "one"
    )


@contextmanager
def opened_door(live: LiveDeployment, folder: Path, port: int) -> Iterator[Door]:
    """Run the exchange listener of a deployment on a port; skips where there is nobody to knock."""
    if shutil.which("curl") is None or shutil.which("openssl") is None:
        pytest.skip("curl and OpenSSL are needed")
    settings = replace(live.deployment.settings(), exchange_url=f"https://127.0.0.1:{port}")
    served = programs(live.deployment, settings, "127.0.0.1:18440", _one_user())
    exchange = next(program for program in served if program.name == "exchange")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            exchange.arguments,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path.cwd()), **exchange.environment},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            found = Door(url=settings.exchange_url, deployment=live.deployment, folder=folder, process=process)
            for _ in range(200):
                if (
                    subprocess.run(["curl", "-sk", "-o", "/dev/null", found.url + "/healthz"], check=False).returncode
                    == 0
                ):
                    break
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.1)
            yield found
        finally:
            process.terminate()
            process.wait(timeout=20)
