"""PostgreSQL is killed and started again while the deployment is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pki.errors import ErrorCode
from tests.e2e.faults.conftest import OnPostgres, new_csr
from tests.support.separated import until

pytestmark = pytest.mark.real


@pytest.fixture
def gone(on_postgres: OnPostgres) -> Iterator[Callable[[], None]]:
    """Have the database server go away, as in a crash; what is given brings it back. It is back in the end."""
    until(on_postgres._is_well, "every part is well before")
    pending = [on_postgres.postgres.start]
    on_postgres.postgres.stop()

    def back() -> None:
        pending.pop()()
        until(on_postgres._is_well, "every part is well again", lambda: on_postgres.trouble)

    yield back
    if pending:
        back()


def issue(served: OnPostgres, file_id: str, request: Path) -> tuple[str, str]:
    """Try to issue; return the code of a refusal, and the answer."""
    ended = served.mohr("ca", "issue", "--profile", "clin-sign", "--file", file_id, "--csr", request)
    return ended.code, ended.output


def test_lists_are_served_and_nothing_is_signed_while_the_database_is_gone(
    on_postgres: OnPostgres, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    file_id, wish = on_postgres.approved_file(), tmp_path / "csr"
    wish.write_bytes(new_csr())
    back = request.getfixturevalue("gone")
    for path in ("/crl/persons/0.crl", "/ca/persons.cer"):
        assert on_postgres.ask("GET", path)[0] == 200, path
    until(lambda: on_postgres.states().get("database") == "down", "health says so")
    assert issue(on_postgres, file_id, wish)[0] == ErrorCode.DATABASE_UNAVAILABLE
    back()
    assert issue(on_postgres, file_id, wish)[0] == ""
    assert on_postgres.mohr("audit", "verify").status == 0


def test_a_deployment_that_starts_while_the_database_is_gone_serves_lists_and_waits(
    on_postgres: OnPostgres, gone: Callable[[], None]
) -> None:
    on_postgres.kill("")
    until(lambda: on_postgres.states().get("database") == "down", "it answers again", lambda: on_postgres.trouble)
    assert on_postgres.ask("GET", "/crl/persons/0.crl")[0] == 200
    gone()
