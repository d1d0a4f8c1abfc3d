from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hsm.custody import open_key
from hsm.errors import KeyNotFound
from hsm.key_uri import Pkcs11Uri, format_key_uri
from hsm.provider import KeyPurpose, spki_of
from hsm.soft import UnsafeSoftKey, UnsafeSoftKeys
from pki.errors import InvalidInput, NotAllowed
from pki.keys import SignatureAlgorithm


class FixedClock:
    def now(self) -> datetime:
        return datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def provider() -> UnsafeSoftKeys:
    keys = UnsafeSoftKeys(FixedClock())
    keys.generate("seal", SignatureAlgorithm.EDDSA, KeyPurpose.SEAL)
    keys.generate("token", SignatureAlgorithm.ES256, KeyPurpose.TOKEN)
    return keys


def test_a_file_uri_opens_its_key_and_never_in_production(tmp_path: Path) -> None:
    key = UnsafeSoftKey.generate(SignatureAlgorithm.ES256)
    (tmp_path / "key.pem").write_bytes(key.private_pem(b"secret"))
    uri = f"file://{tmp_path}/key.pem"
    assert spki_of(open_key(uri, password=b"secret").public_key()) == spki_of(key.public_key())
    with pytest.raises(NotAllowed):
        open_key(uri, password=b"secret", production=True)


def test_a_device_key_is_opened_by_label_by_id_or_by_both(provider: UnsafeSoftKeys) -> None:
    (seal, _token) = provider.keys()
    for uri in (
        Pkcs11Uri(token="mohr-service", object="seal"),
        Pkcs11Uri(id=bytes.fromhex(seal.id)),
        Pkcs11Uri(object="seal", id=bytes.fromhex(seal.id)),
    ):
        assert open_key(format_key_uri(uri), provider=provider).algorithm is SignatureAlgorithm.EDDSA


def test_a_label_with_the_id_of_another_key_opens_nothing(provider: UnsafeSoftKeys) -> None:
    (seal, _token) = provider.keys()
    with pytest.raises(KeyNotFound):
        open_key(format_key_uri(Pkcs11Uri(object="token", id=bytes.fromhex(seal.id))), provider=provider)


@pytest.mark.parametrize(
    "uri", ["pkcs11:", "pkcs11:token=a", "pkcs11:object=seal;type=cert", "transit:seal", "azure:seal"]
)
def test_a_uri_that_names_no_private_key_is_refused(provider: UnsafeSoftKeys, uri: str) -> None:
    with pytest.raises(InvalidInput):
        open_key(uri, provider=provider)


def test_a_transit_key_is_opened_by_its_name_and_version(
    provider: UnsafeSoftKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    (seal, token) = provider.keys()
    held = (replace(seal, id=b"mohr-seal:2".hex()), token)
    monkeypatch.setattr(provider, "keys", lambda: held)
    assert open_key("transit:mohr-seal;version=2", provider=provider).algorithm is SignatureAlgorithm.EDDSA
    with pytest.raises(KeyNotFound):
        open_key("transit:mohr-seal;version=3", provider=provider)


def test_without_a_provider_there_are_no_device_keys() -> None:
    with pytest.raises(KeyNotFound):
        open_key("pkcs11:object=seal")
