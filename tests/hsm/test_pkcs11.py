from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pkcs11
import pytest
from pkcs11 import Attribute, ObjectClass

from hsm.errors import DeviceLost, HsmUnavailable, KeyMismatch, MechanismRefused, PinIncorrect
from hsm.pin import PinFile, PinTries
from hsm.pkcs11 import Pkcs11Device, bare_point
from hsm.private_files import write_private
from hsm.provider import spki_of
from hsm.softhsm import SoftHsmToken, create_softhsm_token, find_module
from pki import der
from pki.errors import InvalidInput
from pki.keys import SignatureAlgorithm, verify_signature

needs_softhsm = pytest.mark.skipif(find_module() is None, reason="SoftHSM2 is not installed")


@dataclass(kw_only=True)
class Bench:
    folder: Path
    token: SoftHsmToken
    device: Pkcs11Device
    tries: PinTries

    def other_device(self, token_label: str) -> Pkcs11Device:
        return Pkcs11Device(
            module_path=self.token.module_path,
            token_label=token_label,
            pins=PinFile(self.folder / "pin"),
            tries=self.tries,
        )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SoftHsmToken]:
    folder = tmp_path_factory.mktemp("pkcs11")
    return folder, create_softhsm_token(folder / "token", "mohr-test")


@pytest.fixture
def bench(made: tuple[Path, SoftHsmToken], monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    folder, token = made
    for name, value in token.environment.items():
        monkeypatch.setenv(name, value)
    write_private(folder / "pin", token.pin.reveal().encode())
    tries = PinTries(folder / "tries", 2)
    tries.succeeded()
    device = Pkcs11Device(
        module_path=token.module_path, token_label="mohr-test", pins=PinFile(folder / "pin"), tries=tries
    )
    yield Bench(folder=folder, token=token, device=device, tries=tries)
    device.close()


def test_both_encodings_of_a_point_are_read() -> None:
    point = b"\x04" + bytes(range(64))
    assert bare_point(point, 65) == point
    assert bare_point(der.octet_string(point), 65) == point
    with pytest.raises(InvalidInput):
        bare_point(b"\x04\x05abc", 65)


@pytest.mark.real
@needs_softhsm
@pytest.mark.parametrize("algorithm", SignatureAlgorithm)
def test_a_key_made_in_the_token_signs_and_is_found_again(bench: Bench, algorithm: SignatureAlgorithm) -> None:
    key_id = b"found again " + algorithm.encode()
    bench.device.open()
    public_key = bench.device.generate(key_id, "same label for all", algorithm)
    bench.device.open()
    assert spki_of(bench.device.public_key(key_id, algorithm)) == spki_of(public_key)
    sign = bench.device.signer(key_id, algorithm)
    for message in (b"", b"message", bytes(100_000)):
        verify_signature(public_key, sign(message), message, algorithm)


@pytest.mark.real
@needs_softhsm
@pytest.mark.parametrize("algorithm", SignatureAlgorithm)
def test_the_token_itself_says_that_a_key_never_leaves(bench: Bench, algorithm: SignatureAlgorithm) -> None:
    key_id = b"guarded " + algorithm.encode()
    bench.device.open()
    bench.device.generate(key_id, "guarded", algorithm)
    private = bench.device._find(ObjectClass.PRIVATE_KEY, key_id)
    said = {
        name: private[name]
        for name in (
            Attribute.SENSITIVE,
            Attribute.ALWAYS_SENSITIVE,
            Attribute.EXTRACTABLE,
            Attribute.NEVER_EXTRACTABLE,
        )
    }
    assert list(said.values()) == [True, True, False, True]
    secret = Attribute.PRIVATE_EXPONENT if algorithm in ("RS256", "PS256") else Attribute.VALUE
    with pytest.raises(pkcs11.AttributeSensitive):
        private[secret]


@pytest.mark.real
@needs_softhsm
def test_a_key_that_the_token_does_not_guard_is_destroyed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.device.open()
    monkeypatch.setitem(pkcs11_template(), Attribute.EXTRACTABLE, True)
    with pytest.raises(MechanismRefused):
        bench.device.generate(b"loose", "loose", SignatureAlgorithm.ES256)
    with pytest.raises(DeviceLost):
        bench.device.signer(b"loose", SignatureAlgorithm.ES256)


def pkcs11_template() -> dict[Attribute, object]:
    from hsm import pkcs11 as module

    return module._PRIVATE_TEMPLATE


@pytest.mark.real
@needs_softhsm
def test_two_keys_with_one_id_are_refused(bench: Bench) -> None:
    bench.device.open()
    for label in ("first", "second"):
        bench.device.generate(b"twice", label, SignatureAlgorithm.ES256)
    with pytest.raises(KeyMismatch):
        bench.device.signer(b"twice", SignatureAlgorithm.ES256)
    with pytest.raises(KeyMismatch):
        bench.device.public_key(b"twice", SignatureAlgorithm.ES256)


@pytest.mark.real
@needs_softhsm
def test_a_key_that_is_not_there_is_a_lost_device(bench: Bench) -> None:
    bench.device.open()
    with pytest.raises(DeviceLost):
        bench.device.signer(b"none", SignatureAlgorithm.ES256)


@pytest.mark.real
@needs_softhsm
def test_a_key_of_another_kind_is_refused(bench: Bench) -> None:
    bench.device.open()
    bench.device.generate(b"kind", "kind", SignatureAlgorithm.ES384)
    with pytest.raises(KeyMismatch):
        bench.device.public_key(b"kind", SignatureAlgorithm.ES256)
    with pytest.raises(KeyMismatch):
        bench.device.signer(b"kind", SignatureAlgorithm.RS256)


@pytest.mark.real
@needs_softhsm
def test_a_wrong_pin_is_tried_no_more_often_than_allowed(bench: Bench) -> None:
    write_private(bench.folder / "pin", b"wrong")
    for failed in (1, 2):
        with pytest.raises(PinIncorrect, match="device said"):
            bench.device.open()
        assert bench.tries.failed == failed
    write_private(bench.folder / "pin", bench.token.pin.reveal().encode())
    with pytest.raises(PinIncorrect, match="tries failed"):
        bench.device.open()


@pytest.mark.real
@needs_softhsm
def test_an_unknown_token_costs_no_pin_try(bench: Bench) -> None:
    with pytest.raises(DeviceLost):
        bench.other_device("another").open()
    assert bench.tries.failed == 0


@pytest.mark.real
@needs_softhsm
def test_what_was_given_out_before_the_module_ended_says_so_and_opening_again_cures_it(bench: Bench) -> None:
    bench.device.open()
    bench.device.generate(b"ended", "ended", SignatureAlgorithm.ES256)
    sign = bench.device.signer(b"ended", SignatureAlgorithm.ES256)
    pkcs11.lib(str(bench.token.module_path)).reinitialize()
    with pytest.raises(HsmUnavailable):
        sign(b"message")
    bench.device.open()
    public_key = bench.device.public_key(b"ended", SignatureAlgorithm.ES256)
    again = bench.device.signer(b"ended", SignatureAlgorithm.ES256)
    verify_signature(public_key, again(b"message"), b"message")


@pytest.mark.real
@needs_softhsm
def test_a_closed_device_says_so(bench: Bench) -> None:
    bench.device.open()
    bench.device.close()
    with pytest.raises(DeviceLost):
        bench.device.signer(b"any", SignatureAlgorithm.ES256)
