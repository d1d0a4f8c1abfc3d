"""A deployment's own trust bundle, signed by its document seal inside the custodian, kept and relied on elsewhere."""

import json
from pathlib import Path

import pytest

from tests.support.deployment import LiveDeployment
from tests.support.programs import run_here
from webapp.cli import mohr

pytestmark = pytest.mark.real


def test_the_seal_signs_a_bundle_that_others_keep(live: LiveDeployment, tmp_path: Path) -> None:
    made, seal, kept = (str(tmp_path / name) for name in ("b.trust.json", "seal.pem", "kept"))
    live.answerless("trust", "make", "--sequence", "5", "--signer-out", seal, "-o", made)
    ended = run_here(mohr, "trust", "keep", made, "--signer", seal, "-o", kept)
    assert ended.status == 0, ended.messages + ended.trace
    live.answerless("trust", "make", "--sequence", "4", "-o", made)
    assert run_here(mohr, "trust", "keep", made, "-o", kept).code == "trust-rollback"
    (tmp_path / "plain").write_bytes(b"nothing signed")
    judged = run_here(mohr, "verify", str(tmp_path / "plain"), "--trust", kept, "--offline", "--json")
    assert json.loads(judged.output)["trust"]["sequence"] == 5
    wrong = run_here(mohr, "verify", str(tmp_path / "plain"), "--trust", made, "--offline", "--json")
    assert (wrong.status, "trust.signer" in wrong.messages) == (3, True)
