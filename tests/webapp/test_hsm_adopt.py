from pathlib import Path

import pytest

from hsm.custodian.config import Pkcs11Settings
from hsm.transit.settings import parse_transit_settings
from pki.errors import InvalidInput
from webapp.commands.hsm_adopt import device_reference

TOKEN = Pkcs11Settings(module_path=Path("/module.so"), token="mohr-service")
TRANSIT = parse_transit_settings(
    {"kind": "transit", "url": "https://127.0.0.1:8200", "auth": {"token_file": "/run/token"}}, Path("/")
)


def test_a_reference_is_the_id_or_the_name_and_version() -> None:
    assert device_reference("pkcs11:id=%01%ff;type=private", TOKEN) == b"\x01\xff"
    assert device_reference("transit:ca-persons;version=3", TRANSIT) == b"ca-persons:3"


def test_a_key_of_another_kind_of_device_is_not_looked_for() -> None:
    with pytest.raises(InvalidInput, match="in Transit"):
        device_reference("pkcs11:id=%01", TRANSIT)
    with pytest.raises(InvalidInput, match="in a token"):
        device_reference("transit:ca-persons;version=3", TOKEN)


@pytest.mark.parametrize("uri", ["pkcs11:object=only-a-label", "pkcs11:id=%01;type=public", "file:key.pem", "nothing"])
def test_a_key_without_an_id_in_the_device_is_not_adopted(uri: str) -> None:
    with pytest.raises(InvalidInput):
        device_reference(uri, TOKEN)
