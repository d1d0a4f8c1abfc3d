from pathlib import Path

import pytest
from click.testing import CliRunner

from pki.errors import ErrorCode, InvalidInput
from webapp.commands.chain import install_chain


@pytest.mark.parametrize("content", [b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n", b"no certificate"])
def test_a_file_of_a_chain_that_holds_no_certificate_is_named(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "root.key"
    file.write_bytes(content)
    refused = CliRunner().invoke(install_chain, [str(file), "--home", str(tmp_path)]).exception
    assert isinstance(refused, InvalidInput)
    assert refused.code == ErrorCode.CERTIFICATE_MALFORMED
    assert refused.detail.startswith("root.key: ")
