import json
from pathlib import Path

import pytest

from hsm.custodian.config import Pkcs11Settings, load_settings
from hsm.key_uri import parse_token
from hsm.pin import PinFile, PinTries
from hsm.pkcs11 import Pkcs11Device
from pki.keys import SignatureAlgorithm
from tests.support.deployment import LiveDeployment


@pytest.mark.real
def test_a_key_that_another_tool_made_in_the_token_is_adopted_and_proves_itself(
    live: LiveDeployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = _made_beside_the_custodian(live, tmp_path, monkeypatch)
    uri = "pkcs11:id=" + "".join(f"%{octet:02x}" for octet in reference)
    adopted = live.answer("hsm", "adopt", "vendor-made", uri, "--algorithm", "ES256", "--purpose", "token")
    assert adopted["id"] == reference.hex()
    ended = live.mohr("hsm", "check")
    lines = [json.loads(line) for line in ended.output.splitlines()]
    (checked,) = [line for line in lines if line["label"] == "vendor-made"]
    assert checked["state"] == "holds", checked


def _made_beside_the_custodian(live: LiveDeployment, folder: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    settings = load_settings(live.deployment.custodian_config)
    assert isinstance(settings.device, Pkcs11Settings)
    for name, value in settings.device.environment.items():
        monkeypatch.setenv(name, value)
    device = Pkcs11Device(
        module_path=settings.device.module_path,
        token=parse_token(settings.device.token),
        pins=PinFile(live.deployment.pin_file),
        tries=PinTries(folder / "tries", 2),
    )
    device.open()
    try:
        return device.generate("vendor-made", SignatureAlgorithm.ES256, 3072).reference
    finally:
        device.close()
