"""What every test shares: the marks for real parts and a block on outside sockets."""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.remote import Producer  # type: ignore[import-untyped]  # xdist has no types
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

from tests.support.databases import (  # noqa: F401 - fixtures
    make_database,
    postgres_folder,
    postgres_maker,
    postgres_pool,
    sqlite_maker,
    sqlite_template,
)
from tests.support.reader_stack import claim_socket_name
from tests.support.statements import statements_compiled_once  # noqa: F401 - a fixture
from tests.support.surroundings import settle

# A shared machine may stall any single example; time is measured by `make bench`, not by tests.
settings.register_profile("default", deadline=None, max_examples=25)
settings.register_profile("fuzz", deadline=None, max_examples=int(os.environ.get("FUZZ_EXAMPLES", "2000")))
settings.load_profile("default")

settle()
claim_socket_name()

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for no garbage among the thousands of tests while they are collected, nor ever after."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


class _ByDeployment(LoadFileScheduling):  # type: ignore[misc]
    """Files to processes, and those to the same one that break one served deployment: it takes long to make."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return file.rpartition("/")[0] if "/faults/" in file else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling | None:
    """Schedule files where that is asked for."""
    return _ByDeployment(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with whole programs, those that are shared by a folder's tests first.

    A file of them that came last would keep one processor waiting for the other; a deployment that was served until the
    end would work beside all other tests.
    """
    items.sort(key=lambda item: ("e2e" not in item.path.parts, "faults" not in item.path.parts))


@pytest.fixture(autouse=True)
def _no_outside_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections that would leave this machine; loopback and unix sockets stay open."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = str(address[0]) if isinstance(address, tuple) else str(address)
            if not (host.startswith("127.") or host in ("::1", "localhost")):
                raise OSError(f"a test tried to reach {host}")
        connect(self, address)  # type: ignore[arg-type]  # socket addresses have no common type

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The folder of real signed files that is not part of this repository."""
    folder = SHARED / "vectors"
    if not folder.is_dir():
        pytest.skip("the shared vectors are not on this machine")
    return folder
