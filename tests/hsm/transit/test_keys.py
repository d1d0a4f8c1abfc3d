"""Keys and signatures of a Transit engine in a real OpenBao server."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hvac.api.secrets_engines import Transit

from hsm.errors import (
    ConfigurationInvalid,
    DeviceLost,
    HsmUnavailable,
    KeyAbsent,
    KeyMismatch,
    MechanismRefused,
)
from hsm.provider import spki_of
from hsm.transit.settings import Marshaling
from hsm.vault import TransitDevice
from pki.errors import InvalidInput
from pki.keys import SignatureAlgorithm, verify_signature
from tests.hsm.transit.bench import DIGEST, ES256, MESSAGES, Bench, sign_messages, verify_all
from tests.support.openbao import MOUNT, BaoRole, BaoServer
from tests.support.openssl import openssl

pytestmark = pytest.mark.real

PS256 = SignatureAlgorithm.PS256
KINDS = [
    (SignatureAlgorithm.ES256, 3072, "ecdsa-p256", 256),
    (SignatureAlgorithm.ES384, 3072, "ecdsa-p384", 384),
    (SignatureAlgorithm.RS256, 3072, "rsa-3072", 3072),
    (SignatureAlgorithm.RS256, 4096, "rsa-4096", 4096),
    (SignatureAlgorithm.PS256, 3072, "rsa-3072", 3072),
    (SignatureAlgorithm.PS256, 4096, "rsa-4096", 4096),
    (SignatureAlgorithm.EDDSA, 3072, "ed25519", 256),
]


@pytest.mark.parametrize(("algorithm", "rsa_bits", "key_type", "bits"), KINDS)
def test_a_key_made_in_the_server_signs_in_both_marshalings(
    role: BaoRole,
    device: TransitDevice,
    bench: Bench,
    algorithm: SignatureAlgorithm,
    rsa_bits: int,
    key_type: str,
    bits: int,
) -> None:
    made = device.generate("mohr-made", algorithm, rsa_bits)
    assert spki_of(device.public_key(made.reference, algorithm)) == spki_of(made.public_key)
    said = device.attributes(made.reference)
    assert (said["key_type"], said["bits"], said["version"]) == (key_type, bits, 1)
    assert [said[name] for name in ("exportable", "allow_plaintext_backup", "deletion_allowed")] == [False] * 3
    assert [said[name] for name in ("sensitive", "never_extractable", "local")] == [True] * 3
    der = bench.opened(replace(role.settings, marshaling=Marshaling.ASN1))
    for signing in (device, der):
        verify_all(made.public_key, sign_messages(signing, made.reference, algorithm, MESSAGES), MESSAGES, algorithm)
        (alone,) = sign_messages(signing, made.reference, algorithm, [b"alone"])
        verify_signature(made.public_key, alone, b"alone", algorithm)


def test_openssl_accepts_a_pss_signature_with_a_salt_as_long_as_the_digest(
    device: TransitDevice, bao: BaoServer, tmp_path: Path
) -> None:
    bao.make_key("pss-for-openssl", "rsa-3072")
    (signature,) = sign_messages(device, b"pss-for-openssl:1", PS256, [b"message"])
    public_key = device.public_key(b"pss-for-openssl:1", PS256)
    pem = public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for name, octets in (("public.pem", pem), ("message", b"message"), ("signature", signature)):
        (tmp_path / name).write_bytes(octets)
    judged = openssl(
        *("dgst", "-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"),
        *("-verify", tmp_path / "public.pem", "-signature", tmp_path / "signature", tmp_path / "message"),
    )
    assert judged.returncode == 0, judged.stderr


def test_a_long_batch_goes_in_several_requests_and_keeps_its_order(role: BaoRole, bench: Bench, key: bytes) -> None:
    device = bench.opened(replace(role.settings, batch=8))
    messages = [b"message %d" % number for number in range(21)]
    verify_all(device.public_key(key, ES256), sign_messages(device, key, ES256, messages), messages, ES256)
    assert device.sign(key, ES256, []) == []


def test_a_digest_of_another_length_is_not_sent(device: TransitDevice, key: bytes) -> None:
    for wrong in (b"", bytes(31), bytes(48)):
        with pytest.raises(MechanismRefused):
            device.sign(key, ES256, [DIGEST, wrong])


def test_an_item_that_the_server_refuses_fails_its_batch_and_is_named(
    device: TransitDevice, bao: BaoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    bao.make_key("bad-item", "rsa-3072")
    monkeypatch.setattr("hsm.vault.check_inputs", lambda _algorithm, _inputs: None)
    with pytest.raises(MechanismRefused, match="item 1"):
        device.sign(b"bad-item:1", PS256, [DIGEST, b"short", DIGEST])
    with pytest.raises(HsmUnavailable):
        device.sign(b"bad-item:1", PS256, [b"short"])
    assert len(device.sign(b"bad-item:1", PS256, [DIGEST, DIGEST])) == 2


def test_a_rotated_key_goes_on_signing_with_the_version_that_is_pinned(device: TransitDevice, bao: BaoServer) -> None:
    bao.make_key("rotated")
    first = device.public_key(b"rotated:1", ES256)
    bao.call("POST", f"{MOUNT}/keys/rotated/rotate")
    second = device.public_key(b"rotated:2", ES256)
    assert spki_of(first) != spki_of(second)
    for reference, public_key in ((b"rotated:1", first), (b"rotated:2", second)):
        verify_all(public_key, sign_messages(device, reference, ES256, MESSAGES), MESSAGES, ES256)
    said = device.attributes(b"rotated")
    assert (said["reference"], said["version"], said["latest_version"]) == ("rotated:2", 2, 2)
    assert device.attributes(b"rotated:1")["version"] == 1


def test_a_version_that_the_server_no_longer_signs_with_is_not_replaced_by_another(
    device: TransitDevice, bao: BaoServer
) -> None:
    bao.make_key("retired")
    bao.call("POST", f"{MOUNT}/keys/retired/rotate")
    bao.call("POST", f"{MOUNT}/keys/retired/config", {"min_encryption_version": 2})
    for inputs in ([DIGEST], [DIGEST, DIGEST]):
        for version in (b"1", b"3"):
            with pytest.raises(HsmUnavailable, match="version"):
                device.sign(b"retired:" + version, ES256, inputs)
    assert len(device.sign(b"retired:2", ES256, [DIGEST])) == 1


def test_a_key_made_anew_under_an_old_name_does_not_sign_in_its_place(device: TransitDevice, bao: BaoServer) -> None:
    for kind, algorithm in (("ecdsa-p256", ES256), ("rsa-3072", PS256), ("ed25519", SignatureAlgorithm.EDDSA)):
        bao.make_key("swapped", kind)
        first = device.public_key(b"swapped:1", algorithm)
        bao.call("POST", f"{MOUNT}/keys/swapped/config", {"deletion_allowed": True})
        bao.call("DELETE", f"{MOUNT}/keys/swapped")
        bao.make_key("swapped", kind)
        for inputs in ([DIGEST], [DIGEST, DIGEST]):
            with pytest.raises(KeyMismatch, match="another key"):
                device.sign(b"swapped:1", algorithm, inputs)
        assert spki_of(device.public_key(b"swapped:1", algorithm)) != spki_of(first)
        device.open()
        assert len(device.sign(b"swapped:1", algorithm, [DIGEST])) == 1
        bao.call("POST", f"{MOUNT}/keys/swapped/config", {"deletion_allowed": True})
        bao.call("DELETE", f"{MOUNT}/keys/swapped")


def test_a_key_is_used_by_name_and_version_only(device: TransitDevice, key: bytes) -> None:
    name = key.partition(b":")[0]
    for reference in (name, b"", b":1", name + b":latest", b"../sys/seal:1", name + b"/config:1"):
        with pytest.raises(InvalidInput):
            device.sign(reference, ES256, [DIGEST])
        with pytest.raises(InvalidInput):
            device.public_key(reference, ES256)


def test_a_key_that_is_not_there_is_absent(device: TransitDevice, key: bytes) -> None:
    for absent in (b"nobody:1", key.replace(b":1", b":2")):
        with pytest.raises(KeyAbsent):
            device.public_key(absent, ES256)
        with pytest.raises(KeyAbsent):
            device.attributes(absent)
    with pytest.raises(KeyAbsent):
        device.sign(b"nobody:1", ES256, [DIGEST])
    with pytest.raises(KeyAbsent):
        device.sign(b"nobody:1", ES256, [DIGEST, DIGEST])


def test_a_key_of_another_kind_is_a_mismatch(device: TransitDevice, bao: BaoServer, key: bytes) -> None:
    with pytest.raises(KeyMismatch):
        device.public_key(key, SignatureAlgorithm.EDDSA)
    bao.make_key("symmetric", "aes256-gcm96")
    with pytest.raises(KeyMismatch):
        device.public_key(b"symmetric:1", ES256)
    bao.make_key("small", "rsa-2048")
    with pytest.raises(KeyMismatch):
        device.public_key(b"small:1", SignatureAlgorithm.RS256)


def test_a_key_that_may_be_exported_says_so_and_is_not_taken_as_made(
    device: TransitDevice, bao: BaoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    bao.make_key("loose", exportable=True)
    said = device.attributes(b"loose:1")
    assert (said["extractable"], said["never_extractable"]) == (True, False)
    create = Transit.create_key

    def create_loose(self: Transit, name: str, **parameters: Any) -> Any:
        return create(self, name, **(parameters | {"allow_plaintext_backup": True}))

    monkeypatch.setattr(Transit, "create_key", create_loose)
    with pytest.raises(MechanismRefused, match="stays inside"):
        device.generate("mohr-loose", ES256, 3072)


def test_a_server_that_answers_an_order_without_the_key_is_asked_for_it(
    device: TransitDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = Transit.create_key

    def create_silently(self: Transit, name: str, **parameters: Any) -> dict[str, Any]:
        create(self, name, **parameters)
        return {}

    monkeypatch.setattr(Transit, "create_key", create_silently)
    made = device.generate("mohr-silent", ES256, 3072)
    assert spki_of(device.public_key(made.reference, ES256)) == spki_of(made.public_key)


def test_keys_of_one_label_get_names_of_their_own(device: TransitDevice) -> None:
    first, second = (device.generate("same", ES256, 3072) for _ in range(2))
    assert first.reference != second.reference
    assert first.reference.startswith(b"same-")
    for label in ("a/b", "a:b", "ä", ""):
        with pytest.raises(InvalidInput):
            device.generate(label + "*", ES256, 3072)
    with pytest.raises(MechanismRefused):
        device.generate("small", PS256, 2048)


def test_over_tls_the_server_shows_a_certificate_of_the_named_authority(
    role: BaoRole, bench: Bench, key: bytes, tmp_path: Path, bao: BaoServer, bao_node: Callable[[], BaoServer]
) -> None:
    device = bench.opened(role.tls_settings)
    assert len(device.sign(key, ES256, [DIGEST])) == 1
    for ca_file in (None, bao_node().folder / "ca.pem"):
        with pytest.raises(DeviceLost, match="certificate"):
            bench.device(replace(role.tls_settings, ca_file=ca_file)).open()
    with pytest.raises(ConfigurationInvalid):
        bench.device(replace(role.tls_settings, ca_file=tmp_path / "missing")).open()
    with pytest.raises(DeviceLost):
        bench.device(replace(role.tls_settings, url=f"https://127.0.0.1:{bao.port}")).open()
