"""Files that OpenSSL and pyHanko make, and what they say of ours: independent makers, one verdict."""

import hashlib
import shutil
from io import BytesIO
from pathlib import Path

import pytest
from asn1crypto import x509 as asn1_x509
from cryptography.hazmat.primitives.asymmetric import ed448
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import signers
from pyhanko.sign.fields import SigSeedSubFilter
from pyhanko_certvalidator.registry import SimpleCertificateStore

from signer.samples import sample_pdf
from signer.validation.reasons import Reason
from signer.validation.verdict import Crypto
from signer.validation.verify import verify_bytes
from tests.signer.validation.expect import FAILED, PASSED, UNDECIDED, expect, only, reasons
from tests.signer.validation.test_idioms_of_cms import AnyKey
from tests.support.openssl import openssl
from tests.support.zoo import Zoo, make_clinician

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="OpenSSL is not installed"),
]
CONTENT = b"scan of a paper\n"


@pytest.fixture
def folder(tmp_path: Path, zoo: Zoo) -> Path:
    (tmp_path / "content").write_bytes(CONTENT)
    for name, holder in (("signer", zoo.clinician), ("tsa", zoo.tsa)):
        (tmp_path / f"{name}.pem").write_text(holder.pem)
        (tmp_path / f"{name}.key").write_bytes(holder.key.private_pem())
    (tmp_path / "chain.pem").write_text(zoo.intermediate.pem)
    return tmp_path


def sign(folder: Path, *options: str) -> bytes:
    files = ("-inkey", folder / "signer.key", "-certfile", folder / "chain.pem", "-out", folder / "out")
    done = openssl(
        "cms", "-sign", "-binary", "-in", folder / "content", "-signer", folder / "signer.pem", *files, *options
    )
    assert done.returncode == 0, done.stderr
    return (folder / "out").read_bytes()


@pytest.mark.parametrize(
    "options",
    [
        ("-cades", "-nodetach", "-outform", "DER"),
        ("-cades", "-outform", "DER"),
        ("-cades", "-nodetach", "-outform", "PEM"),
        ("-cades", "-nodetach", "-stream", "-outform", "DER"),
        ("-cades", "-nodetach", "-keyid", "-outform", "DER"),
        ("-cades", "-nodetach", "-md", "sha512", "-outform", "DER"),
    ],
)
def test_cades_of_openssl_passes(zoo: Zoo, folder: Path, options: tuple[str, ...]) -> None:
    verdict = verify_bytes(sign(folder, *options), zoo.context(content=CONTENT))
    expect(verdict, PASSED)
    assert verdict.format == "CAdES"
    if "-stream" in options:
        assert Reason.BER_ENCODING in reasons(verdict)


def test_plain_cms_of_openssl_is_intact_but_not_bound(zoo: Zoo, folder: Path) -> None:
    verdict = verify_bytes(sign(folder, "-nodetach", "-outform", "DER"), zoo.context())
    assert only(verdict).crypto is Crypto.INTACT
    expect(verdict, UNDECIDED, "SIG_CONSTRAINTS_FAILURE")
    assert verdict.format == "CMS"


def test_cms_of_openssl_without_attributes_is_intact(zoo: Zoo, folder: Path) -> None:
    data = sign(folder, "-nodetach", "-noattr", "-outform", "DER")
    assert only(verify_bytes(data, zoo.context())).crypto is Crypto.INTACT
    changed = verify_bytes(data.replace(CONTENT, CONTENT[:-1] + b"!"), zoo.context())
    expect(changed, FAILED, "SIG_CRYPTO_FAILURE")


def test_openssl_agrees_on_every_prescription_and_on_a_broken_one(vectors: Path, tmp_path: Path, zoo: Zoo) -> None:
    for path in sorted((vectors / "cms-prescriptions").glob("*.p7m"))[::6]:
        for data, crypto in ((path.read_bytes(), Crypto.INTACT), (_broken(path.read_bytes()), Crypto.BROKEN)):
            (tmp_path / "file").write_bytes(data)
            done = openssl(
                *("cms", "-verify", "-noverify", "-inform", "DER", "-in", tmp_path / "file", "-out", tmp_path / "out")
            )
            assert (done.returncode == 0) == (crypto is Crypto.INTACT), done.stderr
            assert only(verify_bytes(data, zoo.context())).crypto is crypto


def _broken(data: bytes) -> bytes:
    at = data.index(b"<Bundle") + 300
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


def test_a_token_of_openssls_authority_is_read(zoo: Zoo, folder: Path) -> None:
    (folder / "serial").write_text("01\n")
    (folder / "tsa.cnf").write_text(
        "[tsa]\ndefault_tsa=one\n[one]\n"
        f"serial={folder / 'serial'}\nsigner_digest=sha256\ndefault_policy=1.3.6.1.4.1.32473.1\n"
        "digests=sha256\naccuracy=secs:1\ness_cert_id_chain=no\ness_cert_id_alg=sha256\n"
    )
    query, reply = folder / "query", folder / "reply"
    openssl("ts", "-query", "-data", folder / "content", "-sha256", "-cert", "-out", query)
    done = openssl(
        *("ts", "-reply", "-config", folder / "tsa.cnf", "-section", "one", "-queryfile", query, "-out", reply),
        *("-signer", folder / "tsa.pem", "-inkey", folder / "tsa.key", "-chain", folder / "chain.pem"),
    )
    assert done.returncode == 0, done.stderr
    verdict = verify_bytes(reply.read_bytes(), zoo.context(content=CONTENT))
    (stamp,) = verdict.timestamps
    assert (verdict.format, stamp.crypto, only(verdict).crypto) == ("RFC3161", Crypto.INTACT, Crypto.INTACT)
    (covered,) = only(verdict).covered
    assert covered.what == "tst-info"
    assert hashlib.sha256(CONTENT).digest() in reply.read_bytes()


@pytest.mark.parametrize("private", [None, ed448.Ed448PrivateKey.generate()])
def test_a_pdf_signed_by_pyhanko_passes(zoo: Zoo, folder: Path, private: ed448.Ed448PrivateKey | None) -> None:
    """Also with Ed448, whose digest names its length (RFC 8419 §2.3)."""
    if private is not None:
        key = AnyKey(private, private.sign)
        (folder / "signer.pem").write_text(make_clinician(zoo.intermediate, key=key).pem)
        (folder / "signer.key").write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    files = (str(folder / "signer.key"), str(folder / "signer.pem"))
    chain = (str(folder / "chain.pem"),)
    signer = signers.SimpleSigner.load(*files, chain)  # type: ignore[no-untyped-call]  # untyped upstream
    assert signer is not None
    assert isinstance(signer.cert_registry, SimpleCertificateStore)
    assert isinstance(signer.signing_cert, asn1_x509.Certificate)
    metadata = signers.PdfSignatureMetadata(field_name="Signature1", subfilter=SigSeedSubFilter.PADES)
    output = BytesIO()
    signers.sign_pdf(IncrementalPdfFileWriter(BytesIO(sample_pdf())), metadata, signer=signer, output=output)
    verdict = verify_bytes(output.getvalue(), zoo.context())
    assert (only(verdict).crypto, only(verdict).level, verdict.format) == (Crypto.INTACT, "B-B", "PAdES")
    expect(verdict, PASSED)
