import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pkcs11
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from pkcs11 import Attribute, KeyType, ObjectClass

from hsm.child_process import child_environment, module_command
from hsm.device.contract import device_input
from hsm.errors import (
    ConfigurationInvalid,
    DeviceLost,
    HsmUnavailable,
    KeyAbsent,
    KeyMismatch,
    MechanismRefused,
    PinIncorrect,
)
from hsm.key_uri import Pkcs11Uri, parse_token
from hsm.pin import PinFile, PinTries
from hsm.pkcs11 import Pkcs11Device, bare_point
from hsm.private_files import write_private
from hsm.provider import spki_of
from hsm.softhsm import SoftHsmToken, create_softhsm_token, find_module
from pki import der
from pki.errors import InvalidInput
from pki.keys import DEFAULT_RSA_BITS, SignatureAlgorithm, verify_signature, x509_signature

needs_softhsm = pytest.mark.skipif(find_module() is None, reason="SoftHSM2 is not installed")
SPY = next(Path("/usr/lib").glob("*/pkcs11-spy.so"), Path("/usr/lib/pkcs11-spy.so"))
RSA = (SignatureAlgorithm.RS256, SignatureAlgorithm.PS256)


@dataclass(kw_only=True)
class Bench:
    folder: Path
    token: SoftHsmToken
    device: Pkcs11Device
    tries: PinTries

    def other_device(self, token: Pkcs11Uri, module_path: Path | None = None) -> Pkcs11Device:
        return Pkcs11Device(
            module_path=module_path or self.token.module_path,
            token=token,
            pins=PinFile(self.folder / "pin"),
            tries=self.tries,
        )

    def sign(self, reference: bytes, algorithm: SignatureAlgorithm, message: bytes = b"message") -> bytes:
        """Sign a message as the custodian does: hashed here, encoded here."""
        (value,) = self.device.sign(reference, algorithm, [device_input(algorithm, message)])
        return x509_signature(algorithm, value)


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
    (folder / "tries").unlink(missing_ok=True)
    tries = PinTries(folder / "tries", 2)
    device = Pkcs11Device(
        module_path=token.module_path, token=parse_token("mohr-test"), pins=PinFile(folder / "pin"), tries=tries
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
    bench.device.open()
    reference, public_key = bench.device.generate("same label for all", algorithm, DEFAULT_RSA_BITS)
    bench.device.open()
    assert spki_of(bench.device.public_key(reference, algorithm)) == spki_of(public_key)
    for message in (b"", b"message", bytes(100_000)):
        verify_signature(public_key, bench.sign(reference, algorithm, message), message, algorithm)


@pytest.mark.real
@needs_softhsm
@pytest.mark.parametrize("algorithm", RSA)
def test_a_key_of_4096_bits_signs(bench: Bench, algorithm: SignatureAlgorithm) -> None:
    bench.device.open()
    reference, public_key = bench.device.generate("large", algorithm, 4096)
    assert isinstance(public_key, rsa.RSAPublicKey)
    assert public_key.key_size == bench.device.attributes(reference)["bits"] == 4096
    verify_signature(public_key, bench.sign(reference, algorithm), b"message", algorithm)


@pytest.mark.real
@needs_softhsm
def test_several_digests_are_signed_in_their_order(bench: Bench) -> None:
    bench.device.open()
    reference, public_key = bench.device.generate("several", SignatureAlgorithm.ES256, DEFAULT_RSA_BITS)
    messages = [b"message %d" % number for number in range(20)]
    inputs = [device_input(SignatureAlgorithm.ES256, message) for message in messages]
    values = bench.device.sign(reference, SignatureAlgorithm.ES256, inputs)
    for message, value in zip(messages, values, strict=True):
        verify_signature(public_key, x509_signature(SignatureAlgorithm.ES256, value), message)


@pytest.mark.real
@needs_softhsm
@pytest.mark.parametrize("inputs", [[b"short"], [bytes(32), bytes(31)], [bytes(33)], [b""]])
def test_what_is_no_digest_is_not_given_to_the_token(bench: Bench, inputs: Sequence[bytes]) -> None:
    bench.device.open()
    reference, _ = bench.device.generate("digests", SignatureAlgorithm.ES256, DEFAULT_RSA_BITS)
    with pytest.raises(MechanismRefused):
        bench.device.sign(reference, SignatureAlgorithm.ES256, inputs)


@pytest.mark.real
@needs_softhsm
@pytest.mark.parametrize("algorithm", SignatureAlgorithm)
def test_the_token_itself_says_that_a_key_never_leaves(bench: Bench, algorithm: SignatureAlgorithm) -> None:
    bench.device.open()
    reference, _ = bench.device.generate("guarded", algorithm, DEFAULT_RSA_BITS)
    said = bench.device.attributes(reference)
    assert [said[name] for name in ("sensitive", "always_sensitive", "extractable", "never_extractable", "local")] == [
        *(True, True, False, True, True)
    ]
    kinds = {"ES256": ("EC", 256), "ES384": ("EC", 384), "EdDSA": ("EC_EDWARDS", 256)}
    assert (said["key_type"], said["bits"]) == kinds.get(algorithm, ("RSA", 3072))
    assert said["label"] == "guarded"
    private = bench.device._find(ObjectClass.PRIVATE_KEY, reference)
    secret = Attribute.PRIVATE_EXPONENT if private.key_type is KeyType.RSA else Attribute.VALUE
    with pytest.raises(pkcs11.AttributeSensitive):
        private[secret]


@pytest.mark.real
@needs_softhsm
def test_a_key_that_the_token_does_not_guard_is_destroyed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.device._random_octets = b"loose".ljust
    bench.device.open()
    monkeypatch.setitem(pkcs11_template(), Attribute.EXTRACTABLE, True)
    with pytest.raises(MechanismRefused):
        bench.device.generate("loose", SignatureAlgorithm.ES256, DEFAULT_RSA_BITS)
    with pytest.raises(KeyAbsent):
        bench.sign(b"loose".ljust(16), SignatureAlgorithm.ES256)
    with pytest.raises(KeyAbsent):
        bench.device.public_key(b"loose".ljust(16), SignatureAlgorithm.ES256)


def pkcs11_template() -> dict[Attribute, object]:
    from hsm import pkcs11 as module

    return module._PRIVATE_TEMPLATE


@pytest.mark.real
@needs_softhsm
def test_two_keys_with_one_id_are_refused(bench: Bench) -> None:
    bench.device.open()
    made = [bench.device.generate(label, SignatureAlgorithm.ES256, DEFAULT_RSA_BITS) for label in ("first", "second")]
    reference, other = (generated.reference for generated in made)
    for item in bench.device._session.get_objects({Attribute.ID: other}):
        item[Attribute.ID] = reference
    with pytest.raises(KeyMismatch):
        bench.sign(reference, SignatureAlgorithm.ES256)
    with pytest.raises(KeyMismatch):
        bench.device.public_key(reference, SignatureAlgorithm.ES256)
    bench.device._random_octets = lambda _octets: reference
    with pytest.raises(KeyMismatch):
        bench.device.generate("third", SignatureAlgorithm.ES256, DEFAULT_RSA_BITS)


@pytest.mark.real
@needs_softhsm
def test_a_key_that_is_not_there_is_said_to_be_absent(bench: Bench) -> None:
    bench.device.open()
    for ask in (bench.sign, bench.device.public_key):
        with pytest.raises(KeyAbsent):
            ask(b"none", SignatureAlgorithm.ES256)
    with pytest.raises(KeyAbsent):
        bench.device.attributes(b"none")


@pytest.mark.real
@needs_softhsm
def test_a_key_of_another_kind_is_refused(bench: Bench) -> None:
    bench.device.open()
    reference, _ = bench.device.generate("kind", SignatureAlgorithm.ES384, DEFAULT_RSA_BITS)
    with pytest.raises(KeyMismatch):
        bench.device.public_key(reference, SignatureAlgorithm.ES256)
    with pytest.raises(KeyMismatch):
        bench.sign(reference, SignatureAlgorithm.RS256)


@pytest.mark.real
@needs_softhsm
def test_a_wrong_pin_is_tried_no_more_often_than_allowed(bench: Bench) -> None:
    for failed in (1, 2):
        write_private(bench.folder / "pin", b"wrong")
        with pytest.raises(PinIncorrect, match="device said"):
            bench.device.open()
        with pytest.raises(PinIncorrect, match=r"not tried again|tries failed"):
            bench.device.open()
        assert bench.tries.failed == failed
    write_private(bench.folder / "pin", bench.token.pin.reveal().encode())
    with pytest.raises(PinIncorrect, match="tries failed"):
        bench.device.open()


@pytest.mark.real
@needs_softhsm
def test_an_unknown_token_costs_no_pin_try(bench: Bench) -> None:
    with pytest.raises(DeviceLost):
        bench.other_device(parse_token("another")).open()
    assert bench.tries.failed == 0


@pytest.mark.real
@needs_softhsm
def test_a_module_that_is_not_there_costs_no_pin_try(bench: Bench) -> None:
    with pytest.raises(ConfigurationInvalid):
        bench.other_device(parse_token("mohr-test"), bench.folder / "none.so").open()
    assert bench.tries.failed == 0


@pytest.mark.real
@needs_softhsm
def test_a_token_is_found_by_what_is_said_of_it(bench: Bench) -> None:
    bench.device.open()
    shown = next(token for token in bench.device._library.get_tokens() if token.label == "mohr-test")
    serial, manufacturer = shown.serial.decode(), shown.manufacturer_id
    bench.device.close()
    for uri in (
        f"pkcs11:token=mohr-test;serial={serial}",
        f"pkcs11:serial={serial};manufacturer={manufacturer.replace(' ', '%20')}",
    ):
        device = bench.other_device(parse_token(uri))
        device.open()
        device.close()
    for uri in ("pkcs11:token=mohr-test;serial=0", "pkcs11:token=mohr-test;manufacturer=Another"):
        with pytest.raises(DeviceLost):
            bench.other_device(parse_token(uri)).open()


@pytest.mark.real
@needs_softhsm
def test_two_tokens_of_one_name_are_told_apart_or_refused(
    tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [create_softhsm_token(tmp_path / name, "twin") for name in ("first", "second")]
    (token_folder,) = (path for path in (tmp_path / "second" / "tokens").iterdir() if path.is_dir())
    token_folder.rename(tmp_path / "first" / "tokens" / token_folder.name)
    monkeypatch.setenv("SOFTHSM2_CONF", str(made[0].configuration))
    with pytest.raises(KeyMismatch):
        bench.other_device(parse_token("twin")).open()
    assert bench.tries.failed == 0
    write_private(bench.folder / "pin", made[1].pin.reveal().encode())
    device = bench.other_device(parse_token(f"pkcs11:token=twin;serial={token_folder.name.replace('-', '')[-16:]}"))
    device.open()
    device.close()


@pytest.mark.real
@needs_softhsm
def test_a_module_that_ended_says_so_and_opening_again_cures_it(bench: Bench) -> None:
    bench.device.open()
    reference, public_key = bench.device.generate("ended", SignatureAlgorithm.ES256, DEFAULT_RSA_BITS)
    bench.sign(reference, SignatureAlgorithm.ES256)
    pkcs11.lib(str(bench.token.module_path)).reinitialize()
    with pytest.raises(HsmUnavailable):
        bench.sign(reference, SignatureAlgorithm.ES256)
    bench.device.open()
    verify_signature(public_key, bench.sign(reference, SignatureAlgorithm.ES256), b"message")


@pytest.mark.real
@needs_softhsm
def test_a_closed_device_says_so(bench: Bench) -> None:
    bench.device.open()
    reference, _ = bench.device.generate("closed", SignatureAlgorithm.ES256, DEFAULT_RSA_BITS)
    bench.sign(reference, SignatureAlgorithm.ES256)
    bench.device.close()
    with pytest.raises(DeviceLost):
        bench.sign(reference, SignatureAlgorithm.ES256)


@pytest.mark.real
@needs_softhsm
@pytest.mark.skipif(not SPY.exists(), reason="OpenSC's pkcs11-spy is not installed")
@pytest.mark.parametrize(
    "algorithm", [algorithm for algorithm in SignatureAlgorithm if algorithm is not SignatureAlgorithm.EDDSA]
)
def test_the_module_sees_digests_alone_and_is_asked_for_a_key_once(
    bench: Bench, algorithm: SignatureAlgorithm, tmp_path: Path
) -> None:
    spied = tmp_path / "spied"
    environment = {**bench.token.environment, "PKCS11SPY": str(bench.token.module_path), "PKCS11SPY_OUTPUT": str(spied)}
    made = subprocess.run(
        module_command("tests.hsm.spied_device", str(SPY), str(bench.folder), algorithm),
        env=child_environment(**environment),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert made.returncode == 0, made.stderr.decode()
    log = spied.read_text(errors="replace")
    calls = re.findall(r"^\d+: (C_\w+)$", log, re.MULTILINE)
    # The search is before the first signature; the binding asks for the length of each value before the value.
    assert calls[calls.index("C_SignInit") : calls.index("C_Finalize")] == ["C_SignInit", "C_Sign", "C_Sign"] * 11
    sizes = re.findall(r"pData\[ulDataLen\] [0-9a-f]+ / (\d+)", log)
    digest = 48 if algorithm is SignatureAlgorithm.ES384 else 32
    assert set(sizes) == {str(digest + (19 if algorithm is SignatureAlgorithm.RS256 else 0))}
