"""A ceremony touches nothing that is there; the deployment's own keys sign what other programs verify."""

import json
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from signer.samples import sample_pdf, sample_prescription
from tests.support.deployment import LiveDeployment
from tests.support.elsewhere import read_elsewhere
from tests.support.openssl import openssl
from tests.support.pki import NOW, Holder, make_path
from tests.support.programs import run_here
from webapp.cli import mohr

pytestmark = pytest.mark.real
URL = "http://127.0.0.1:18440"


def _everything(folder: Path) -> tuple[dict[str, tuple[int, int]], bytes]:
    """Return each name with its time and size, and what is in the files, one after the other."""
    found = sorted(path for path in folder.rglob("*") if not path.is_socket())
    names = {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_size) for path in found}
    return names, read_elsewhere(path for path in found if path.is_file())


def test_a_second_ceremony_in_the_same_folder_is_refused_and_changes_nothing(live: LiveDeployment) -> None:
    before = _everything(live.deployment.home)
    ended = live.mohr("init", "--public-url", "http://elsewhere.example")
    assert (ended.status, ended.code, ended.output) == (1, "deployment-exists", "")
    assert _everything(live.deployment.home) == before


@pytest.mark.parametrize("command", ["init --public-url http://127.0.0.1:1", "run", "demo"])
def test_a_folder_with_anything_in_it_is_refused_and_stays_as_it_is(tmp_path: Path, command: str) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    (tmp_path / "tokens").mkdir()
    before = _everything(tmp_path)
    ended = run_here(mohr, *command.split(), "--home", str(tmp_path))
    assert (ended.status, ended.code) == (1, "deployment-exists")
    assert _everything(tmp_path) == before


@pytest.mark.parametrize(
    "words",
    [
        ("--public-url", ""),
        ("--public-url", "nonsense"),
        ("--public-url", "ftp://host"),
        ("--public-url", "http://"),
        ("--public-url", f"{URL}/"),
        ("--public-url", f"{URL}?x=1"),
        ("--public-url", "http://host:99999"),
        ("--public-url", "http://[::1"),
        ("--public-url", "http://host/\u0645\u0647\u0631"),
        ("--public-url", "http://host name"),
        ("--public-url", URL, "--exchange-url", "nonsense"),
        ("--public-url", URL, "--exchange-url", "https://host:99999"),
        ("--public-url", URL, "--oid-arc", "nonsense"),
        ("--public-url", URL, "--oid-arc", "2.16.364.1"),
        ("--public-url", URL, "--organization", ""),
        ("--public-url", URL, "--organization", "x" * 1000),
        ("--public-url", URL, "--organization", "a\x00b"),
    ],
    ids=lambda words: " ".join(words)[:60],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_made(tmp_path: Path, words: tuple[str, ...]) -> None:
    home = tmp_path / "home"
    ended = run_here(mohr, "init", "--home", str(home), *words)
    assert ended.status == 1, ended.trace
    assert ended.code in ("input-malformed", "identity-invalid")
    assert not home.exists()


@pytest.mark.parametrize("place", ["file/below", "file", "n" * 300])
def test_a_home_that_cannot_be_made_says_so(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    ended = run_here(mohr, "init", "--home", str(tmp_path / place), "--public-url", URL)
    assert (ended.status, ended.code) in {(1, "file-unwritable"), (3, "usage")}, ended.trace


@pytest.fixture(scope="module")
def holder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Holder, Path]:
    """A signer with a key in a file, and the folder of its files; OpenSSL looks at the machine's clock."""
    path, folder = make_path(), tmp_path_factory.mktemp("signer")
    signer = path.intermediate.issue(not_before=NOW - timedelta(days=700), not_after=NOW + timedelta(days=3600))
    (folder / "key.pem").write_bytes(signer.key.private_pem())
    (folder / "chain.pem").write_text(signer.pem + path.intermediate.pem)
    (folder / "root.pem").write_text(path.root.pem)
    return signer, folder


@pytest.fixture
def rx(tmp_path: Path) -> Path:
    path = tmp_path / "rx.json"
    path.write_bytes(sample_prescription())
    return path


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "report.pdf"
    path.write_bytes(sample_pdf())
    return path


def _openssl_verifies(signature: Path, content: Path, anchor: Path) -> None:
    said = openssl(
        *("cms", "-verify", "-binary", "-inform", "DER", "-in", signature, "-content", content),
        *("-CAfile", anchor, "-purpose", "any", "-out", signature.with_suffix(".out")),
    )
    assert said.returncode == 0, said.stderr
    assert signature.with_suffix(".out").read_bytes() == content.read_bytes()


def _pdfsig_calls_valid(document: Path) -> None:
    program = shutil.which("pdfsig")
    if program is None:
        pytest.skip("poppler-utils is not installed")
    said = subprocess.run([program, "-nocert", str(document)], capture_output=True, text=True, check=False).stdout
    assert "Signature is Valid" in said, said


def test_a_key_in_a_file_signs_what_openssl_and_poppler_verify(
    holder: tuple[Holder, Path], rx: Path, report: Path, tmp_path: Path
) -> None:
    folder = holder[1]
    keys = ("--key", f"file:{folder / 'key.pem'}", "--cert", str(folder / "chain.pem"), "--home", str(tmp_path))
    assert run_here(mohr, "sign", str(rx), "--format", "cades", *keys).status == 0
    _openssl_verifies(tmp_path / "rx.p7s", rx, folder / "root.pem")
    assert run_here(mohr, "sign", str(report), "--format", "pades", *keys).status == 0
    _pdfsig_calls_valid(tmp_path / "report.signed.pdf")
    assert run_here(mohr, "sign", str(rx), "--format", "jades", *keys).status == 0
    verdict = run_here(
        mohr, "verify", str(tmp_path / "rx.jades.json"), "--anchor", str(folder / "root.pem"), "--offline", "--json"
    )
    assert json.loads(verdict.output)["signatures"][0]["crypto"] == "intact"


def test_a_key_in_the_token_signs_what_openssl_and_poppler_verify(
    live: LiveDeployment, rx: Path, report: Path, tmp_path: Path
) -> None:
    seal = "pkcs11:object=service-seal"
    live.answerless("sign", rx, "--format", "cades", "--key", seal)
    anchors = tmp_path / "anchors.pem"
    anchors.write_bytes(live.deployment.anchor.read_bytes())
    said = openssl("x509", "-inform", "DER", "-in", live.deployment.certificate_file("systems"))
    anchors.write_text(anchors.read_text() + said.stdout)
    _openssl_verifies(tmp_path / "rx.p7s", rx, anchors)
    live.answerless("sign", report, "--format", "pades", "--key", seal)
    _pdfsig_calls_valid(tmp_path / "report.signed.pdf")
    live.answerless("sign", rx, "--format", "jades", "--key", seal)
    for name in ("rx.jades.json", "report.signed.pdf"):
        verdict = json.loads(live.mohr("verify", tmp_path / name, "--offline", "--json").output)
        assert [signature["crypto"] for signature in verdict["signatures"]] == ["intact"], verdict


@pytest.mark.parametrize(("label", "certificate"), [("ca-persons", "persons"), ("tsa", "tsa")])
def test_a_key_of_another_purpose_signs_no_document(
    live: LiveDeployment, rx: Path, label: str, certificate: str
) -> None:
    its_own = live.deployment.certificate_file(certificate)
    ended = live.mohr("sign", rx, "--format", "cades", "--key", f"pkcs11:object={label}", "--cert", its_own)
    assert (ended.status, ended.code) == (1, "hsm-purpose-refused")
    assert not rx.with_name("rx.p7s").exists()
