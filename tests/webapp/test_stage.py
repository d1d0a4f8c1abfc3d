from __future__ import annotations

import dataclasses
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from pki.errors import Conflict, ErrorCode
from tests.webapp.test_deployment import SETTINGS
from webapp.demo.stage import running_server
from webapp.deployment import Deployment
from webapp.ports import free_pair, free_port, is_free


class _Stranger(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


def test_the_demo_does_not_talk_to_another_deployments_server(tmp_path: Path) -> None:
    with HTTPServer(("127.0.0.1", 0), _Stranger) as stranger:
        thread = threading.Thread(target=stranger.serve_forever)
        thread.start()
        deployment = Deployment(tmp_path / "home")
        deployment.create_folders()
        url = f"http://127.0.0.1:{stranger.server_port}"
        deployment.write_settings(dataclasses.replace(SETTINGS, public_url=url))
        try:
            with pytest.raises(Conflict) as caught, running_server(deployment):
                pass
        finally:
            stranger.shutdown()
            thread.join()
    assert caught.value.code is ErrorCode.CONFLICT


def test_a_deployment_knows_whether_it_is_served(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path / "home")
    deployment.create_folders()
    assert not deployment.is_served()
    with deployment.serving():
        assert deployment.is_served()
    assert not deployment.is_served()


def test_a_taken_port_is_passed_over() -> None:
    with HTTPServer(("127.0.0.1", 0), _Stranger) as taken:
        assert not is_free(taken.server_port)
        assert free_pair(taken.server_port) != taken.server_port
    assert free_port() > 0
