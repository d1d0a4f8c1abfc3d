"""`mohr ca issue` given again: one key of idempotency makes one certificate."""

from pathlib import Path

import pytest

from tests.support.deployment import LiveDeployment

pytestmark = pytest.mark.real


def test_an_order_that_is_given_again_by_command_is_answered_by_its_certificate(
    live: LiveDeployment, tmp_path: Path
) -> None:
    for name in ("one.csr", "other.csr"):
        live.new_request(tmp_path / name)
    order = ("ca", "issue", "--profile", "clin-sign", "--file", live.file_id, "--idempotency-key", "counter 4, card 17")
    first = live.answer(*order, "--csr", tmp_path / "one.csr")
    again = live.answer(*order, "--csr", tmp_path / "one.csr")
    assert (first["repeated"], again["repeated"]) == (False, True)
    assert (first["serial"], first["pem"]) == (again["serial"], again["pem"])
    refused = live.mohr(*order, "--csr", tmp_path / "other.csr")
    assert (refused.status != 0, refused.code) == (True, "idempotency-conflict")
    assert not live.answer(*order[:-2], "--csr", tmp_path / "other.csr")["repeated"]
