"""OpenSC, an independent reader, lists our card and signs with it; OpenSSL judges the signatures."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pkcs11
import pytest
from pkcs11.exceptions import PinIncorrect, PinLocked

from cardreader.emulated.layout import AUTH_PIN as AUTH_REFERENCE
from cardreader.emulated.layout import SIGN_PIN as SIGN_REFERENCE
from cardreader.emulated.stack import PrivateReaderStack
from cardreader.emulated.state import StateFile
from pki.keys import SignatureAlgorithm
from tests.cardreader.conftest import RealReader, reader_on
from tests.support.emulated_card import AUTH_PIN, SIGN_PIN, personalised_state

pytestmark = pytest.mark.real

MODULES = ("/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so", "/usr/lib/aarch64-linux-gnu/opensc-pkcs11.so")
MESSAGE = "نسخهٔ آزمایشی\n".encode()
ON_RSA = pytest.mark.parametrize("real_reader", [SignatureAlgorithm.RS256], indirect=True)
KEYS = pytest.mark.parametrize(
    ("key_id", "token", "pin"),
    [("01", "Test card (Auth PIN)", AUTH_PIN.decode()), ("02", "Test card (Sign PIN)", SIGN_PIN.decode())],
)


def run(*words: str | Path) -> str:
    """Run a program and return what it wrote; fail with its words when it fails."""
    if shutil.which(str(words[0])) is None:
        pytest.skip(f"{words[0]} is not installed")
    ran = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, env=os.environ)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture
def module() -> str:
    for path in MODULES:
        if Path(path).exists():
            return path
    pytest.skip("opensc-pkcs11 is not installed")


def verify_with_openssl(folder: Path, key_id: str, digest: str, signature: Path) -> None:
    """Take the public key from the card by OpenSC and let OpenSSL verify."""
    run("pkcs15-tool", "--read-public-key", key_id, "-o", folder / "key.pem")
    words = ("openssl", "dgst", f"-{digest}", "-verify", folder / "key.pem", "-signature", signature)
    assert "Verified OK" in run(*words, folder / "message")


def test_opensc_lists_pins_keys_and_certificates(real_reader: RealReader, tmp_path: Path) -> None:
    listed = run("pkcs15-tool", "-D")
    for expected in ("PKCS#15 Card [Test card]", "4d4f485200000001", "PIN [Auth PIN]", "PIN [Sign PIN]", "PIN [PUK]"):
        assert expected.lower() in listed.lower()
    assert listed.count("Private EC Key") == listed.count("Public EC Key") == listed.count("X.509 Certificate") == 2
    run("pkcs15-tool", "--read-certificate", "02", "-o", tmp_path / "certificate.pem")
    with real_reader.readers.connect(real_reader.name) as card:
        certificate = next(key.certificate for key in card.keys() if key.key_id == b"\x02")
    run("openssl", "x509", "-in", tmp_path / "certificate.pem", "-outform", "DER", "-out", tmp_path / "certificate.der")
    assert (tmp_path / "certificate.der").read_bytes() == certificate


@ON_RSA
@KEYS
def test_an_rsa_signature_made_through_opensc_verifies(
    real_reader: RealReader, tmp_path: Path, module: str, key_id: str, token: str, pin: str
) -> None:
    (tmp_path / "message").write_bytes(MESSAGE)
    tool = ("pkcs11-tool", "--module", module, "--token-label", token, "--login", "--pin", pin, "--id", key_id)
    run(*tool, "--sign", "-m", "SHA256-RSA-PKCS", "-i", tmp_path / "message", "-o", tmp_path / "signature")
    verify_with_openssl(tmp_path, key_id, "sha256", tmp_path / "signature")


@KEYS
def test_an_ecdsa_signature_made_through_opensc_verifies(
    real_reader: RealReader, tmp_path: Path, module: str, key_id: str, token: str, pin: str
) -> None:
    """OpenSC 0.23's isoApplet driver offers ECDSA with SHA-1 alone; later versions offer ECDSA over a digest."""
    (tmp_path / "message").write_bytes(MESSAGE)
    (tmp_path / "digest").write_bytes(hashlib.sha256(MESSAGE).digest())
    offered = run("pkcs11-tool", "--module", module, "--token-label", token, "-M")
    raw = any(line.strip().startswith("ECDSA,") for line in offered.splitlines())
    mechanism, source, digest = ("ECDSA", "digest", "sha256") if raw else ("ECDSA-SHA1", "message", "sha1")
    tool = ("pkcs11-tool", "--module", module, "--token-label", token, "--login", "--pin", pin, "--id", key_id)
    output = ("--signature-format", "openssl", "-i", tmp_path / source, "-o", tmp_path / "signature")
    run(*tool, "--sign", "-m", mechanism, *output)
    verify_with_openssl(tmp_path, key_id, digest, tmp_path / "signature")


def test_a_wrong_pin_through_opensc_is_counted_and_locks(blank_file: StateFile, module: str) -> None:
    blank_file.save(personalised_state())
    with PrivateReaderStack(blank_file.path.parent / "s", blank_file.path) as stack, reader_on(stack) as reader:
        library = pkcs11.lib(module)
        library.reinitialize()
        token = library.get_token(token_label="Test card (Sign PIN)")
        for error in (PinIncorrect, PinIncorrect, PinIncorrect, PinLocked):
            with pytest.raises(error), token.open(user_pin="000000"):
                pytest.fail("a wrong PIN was accepted")
        with reader.readers.connect(reader.name) as card:
            assert card.pin_status(SIGN_REFERENCE).blocked
            assert not card.pin_status(AUTH_REFERENCE).blocked
