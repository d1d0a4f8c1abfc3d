import pytest

from pki.errors import InvalidInput
from webapp.commands.hsm_adopt import device_reference


def test_a_reference_is_the_id_or_the_name_and_version() -> None:
    assert device_reference("pkcs11:id=%01%ff;type=private") == b"\x01\xff"
    assert device_reference("transit:ca-persons;version=3") == b"ca-persons:3"


@pytest.mark.parametrize("uri", ["pkcs11:object=only-a-label", "pkcs11:id=%01;type=public", "file:key.pem", "nothing"])
def test_a_key_without_an_id_in_the_device_is_not_adopted(uri: str) -> None:
    with pytest.raises(InvalidInput):
        device_reference(uri)
