"""What is compiled for one database serves every other of this process: a program opens one, its tests thousands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import URL, Engine, create_engine

_first: dict[str, Engine] = {}


@pytest.fixture(scope="session", autouse=True)
def statements_compiled_once() -> Iterator[None]:
    """Have databases of this process share what is compiled."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("storage.engine.create_engine", _create_sharing_engine)
        yield


def _create_sharing_engine(url: URL, **options: Any) -> Engine:
    """Do as `create_engine`, with the compiled statements of the first engine of the kind that came to be used."""
    engine = create_engine(url, **options)
    first = _first.get(engine.name)
    if first is None or first.dialect.server_version_info is None:  # no connection has told it what the server can do
        _first[engine.name] = engine
        return engine
    engine.dialect = engine.pool._dialect = first.dialect  # statements are kept for each dialect object
    engine._compiled_cache = first._compiled_cache
    return engine
