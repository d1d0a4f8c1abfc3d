"""The deployer's list of refused keys, from `mohr.toml` to the refusal."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from pki.csr import parse_csr
from pki.errors import ErrorCode, InvalidInput, Unavailable
from tests.support.deployment import LiveDeployment, live  # noqa: F401 - a fixture
from tests.webapp.test_deployment import SETTINGS
from webapp.compose import authority_settings
from webapp.deployment import Deployment
from webapp.refused_keys import MAX_OCTETS, read_refused_keys

DIGEST = sha256(b"a key").hexdigest()


def test_a_list_holds_a_digest_a_line_and_remarks(tmp_path: Path) -> None:
    file = tmp_path / "refused"
    file.write_text(f"# keys of a broken generator\n\n{DIGEST}\n{'0' * 64}  # another\n", encoding="utf-8")
    assert read_refused_keys(file) == (DIGEST, "0" * 64)


@pytest.mark.parametrize("line", ["abc", DIGEST.upper(), DIGEST + "0", f"{DIGEST} {DIGEST}", "\x00"])
def test_a_malformed_line_is_told_by_its_number(line: str, tmp_path: Path) -> None:
    file = tmp_path / "refused"
    file.write_text(f"{DIGEST}\n{line}\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match="refused, line 2"):
        read_refused_keys(file)


def test_a_list_that_is_missing_or_huge_does_not_pass_for_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as missing:
        read_refused_keys(tmp_path / "absent")
    assert missing.value.code is ErrorCode.FILE_UNREADABLE
    huge = tmp_path / "huge"
    with huge.open("wb") as file:
        file.truncate(MAX_OCTETS + 1)
    with pytest.raises(InvalidInput) as large:
        read_refused_keys(huge)
    assert large.value.code is ErrorCode.INPUT_TOO_LARGE


def test_the_settings_name_the_list_by_a_path_from_home(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    deployment.write_settings(SETTINGS)
    assert deployment.refused_keys(deployment.settings()) == ()
    deployment.write_settings(replace(SETTINGS, refused_keys_file="refused.txt"))
    settings = deployment.settings()
    assert settings.refused_keys_file == "refused.txt"
    (tmp_path / "refused.txt").write_text(DIGEST, encoding="utf-8")
    assert authority_settings(settings, deployment.refused_keys(settings)).refused_keys == {bytes.fromhex(DIGEST)}


@pytest.mark.real
def test_a_listed_key_is_refused_by_the_command(live: LiveDeployment, tmp_path: Path) -> None:  # noqa: F811 - that fixture
    request, file_id = tmp_path / "wish.csr", live.file_id
    live.new_request(request)
    listed = live.deployment.home / "refused.txt"
    listed.write_text(sha256(parse_csr(request.read_bytes()).spki_der).hexdigest(), encoding="utf-8")
    before = live.deployment.settings_file.read_text(encoding="utf-8")
    words = ("ca", "issue", "--profile", "clin-sign", "--file", file_id, "--csr", request)
    try:
        live.deployment.settings_file.write_text(before + 'refused_keys_file = "refused.txt"\n', encoding="utf-8")
        assert live.mohr(*words).code == ErrorCode.KEY_REFUSED
    finally:
        live.deployment.settings_file.write_text(before, encoding="utf-8")
    assert live.answer(*words)["serial"]
