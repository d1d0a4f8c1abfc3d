"""A deployment whose keys lie in a Transit engine from its first moment: `mohr init --device`."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsm.custodian.config import load_settings
from hsm.errors import ConfigurationInvalid
from hsm.transit.settings import AppRoleFiles, TransitSettings
from tests.support.openbao import BaoRole, BaoServer
from tests.support.programs import run_here
from webapp.cli import mohr
from webapp.deployment import Deployment
from webapp.service_device import read_device


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="mohr-"))  # short enough for a unix socket's path
    yield folder / "home"
    shutil.rmtree(folder)


def _described(folder: Path, **members: object) -> Path:
    path = folder / "device.json"
    path.write_text(json.dumps(members))
    return path


def _checked(home: Path) -> set[str]:
    ended = run_here(mohr, "hsm", "check", "--home", str(home))
    return {json.loads(line)["state"] for line in ended.output.splitlines()}


@pytest.mark.real
def test_a_deployment_begins_in_transit_and_outlives_a_sealed_server(
    bao: BaoServer, role: BaoRole, home: Path, tmp_path: Path
) -> None:
    device = _described(tmp_path, device=role.tls_settings.member())
    made = run_here(mohr, "init", "--home", str(home), "--public-url", "http://127.0.0.1:8440", "--device", str(device))
    assert made.status == 0, made.messages + made.trace
    deployment = Deployment(home)
    settings = load_settings(deployment.custodian_config)
    assert isinstance(settings.device, TransitSettings)
    assert isinstance(settings.device.auth, AppRoleFiles)
    for kept in (settings.device.auth.secret_id_file, settings.device.ca_file):  # whoever runs custodians reads them
        assert kept is not None
        assert kept.parent == deployment.custodian_config.parent
    assert not deployment.service_token.exists()
    bao.seal()
    published = run_here(mohr, "ca", "crl", "--home", str(home))
    assert published.status == 2
    assert "hsm-unavailable" in published.messages
    assert "sealed" in published.messages
    bao.unseal()
    assert _checked(home) == {"holds"}
    options = ("--out", str(tmp_path / "b"), "--share-files", str(tmp_path / "s"))
    copied = run_here(mohr, "hsm", "backup", *options, "--home", str(home))
    assert "in no token of this home" in copied.messages


@pytest.mark.parametrize(
    ("members", "wrong"),
    [
        ({}, "missing: device"),
        ({"device": {"kind": "transit"}}, "missing: auth, url"),
        ({"device": {"kind": "drawer"}}, "pkcs11 or transit"),
        ({"device": {"kind": "pkcs11", "module": "/m.so", "token": "t"}}, "a token needs a pin"),
        (
            {"device": {"kind": "pkcs11", "module": "/m.so", "token": "t"}, "pin": {"file": "none"}},
            "none: No such file",
        ),
        (
            {
                "device": {"kind": "transit", "url": "https://127.0.0.1:1", "auth": {"token_file": "t"}},
                "pin": {"file": "p"},
            },
            "has no pin",
        ),
    ],
)
def test_a_key_store_that_cannot_be_is_refused_before_anything_is_made(
    members: dict[str, object], wrong: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationInvalid, match=wrong):
        read_device(_described(tmp_path, **members))


def test_a_credential_that_others_read_is_refused_and_a_pin_is_kept_with_the_custodians(tmp_path: Path) -> None:
    member = {"kind": "pkcs11", "module": "/m.so", "token": "t"}
    path = _described(tmp_path, device=member, pin={"file": "pin"})
    (tmp_path / "pin").write_text("1234\n")
    (tmp_path / "pin").chmod(0o644)
    with pytest.raises(ConfigurationInvalid, match="0600"):
        read_device(path)
    (tmp_path / "pin").chmod(0o600)
    (tmp_path / "kept").mkdir()
    _device, pin = read_device(path).kept_in(tmp_path / "kept")
    assert pin is not None
    assert pin.file == tmp_path / "kept" / "service.pin"
    assert pin.file.read_text() == "1234\n"
