import json
import shutil
import subprocess
from base64 import urlsafe_b64decode
from pathlib import Path

import pytest

from cardreader.apdu import Instruction
from pki.keys import SignatureAlgorithm
from signer.documents import LEGAL_EFFECT
from signer.parsers.cades import parse_cms
from signer.parsers.model import ParsedSignature
from signer.samples import sample_pdf, sample_prescription
from signer.verify_cli import verify
from tests.desk.workplace import SIGN, Workplace, authority, ready_state
from tests.support.emulated_card import new_state, personalised_state
from tests.support.openssl import openssl
from tests.support.programs import run_here
from tests.support.raw_server import always, raw_server, reply

RX = sample_prescription(prescriber="سارا نمونه", patient="علی نمونه")
DOCUMENTS = {"jades": ("rx.json", RX), "cades": ("rx.json", RX), "pades": ("report.pdf", sample_pdf())}
BIDI = "\u202e"


@pytest.fixture
def anchor(place: Workplace) -> Path:
    return place.write("root.pem", authority().root.pem.encode())


@pytest.fixture
def chain(place: Workplace) -> Path:
    return place.write("issuer.pem", authority().intermediate.pem.encode())


@pytest.fixture
def rx(place: Workplace) -> Path:
    return place.write("rx.json", RX)


@pytest.mark.parametrize("algorithm", [SignatureAlgorithm.ES256, SignatureAlgorithm.RS256])
@pytest.mark.parametrize("form", ["jades", "cades", "pades"])
def test_a_signature_of_the_card_is_intact_and_leads_to_the_root(
    place: Workplace, anchor: Path, chain: Path, form: str, algorithm: SignatureAlgorithm
) -> None:
    place.state = ready_state(algorithm)
    name, data = DOCUMENTS[form]
    document, signed = place.write(name, data), place.folder / "signed"
    ended = place.agent("sign", document, "--format", form, "--chain", chain, "--yes", "-o", signed, pins=(SIGN,))
    assert ended.status == 0, ended.messages
    content = ["--content", str(document)] if form == "cades" else []
    verdict = json.loads(run_here(verify, str(signed), "--anchor", str(anchor), "--offline", "--json", *content).output)
    (signature,) = verdict["signatures"]
    assert signature["crypto"] == "intact", verdict
    assert {reason["code"] for reason in signature["reasons"]} <= {"status-silent", "offline", "no-time-proof"}
    assert signature["signer"]["serial"] == place.certificate().serial_hex


def test_a_prescription_code_of_the_card_is_checked_by_its_issuer_and_beside_its_document(
    place: Workplace, chain: Path, rx: Path
) -> None:
    code = place.folder / "rx.code.txt"
    ended = place.agent("sign", rx, "--format", "cose", "--chain", chain, "--yes", pins=(SIGN,))
    assert ended.status == 0, ended.messages
    words = (str(code), "--anchor", str(chain), "--offline", "--json", "--content", str(rx))
    (signature,) = json.loads(run_here(verify, *words).output)["signatures"]
    assert (signature["format"], signature["crypto"], signature["care"]) == ("COSE", "intact", "deferred")
    assert signature["signer"]["serial"] == place.certificate().serial_hex


def test_the_payload_of_a_jades_signature_is_the_file_to_the_octet(place: Workplace, rx: Path, chain: Path) -> None:
    place.agent("sign", rx, "--format", "jades", "--chain", chain, "--yes", pins=(SIGN,))
    payload = json.loads((place.folder / "rx.jades.json").read_bytes())["payload"]
    assert urlsafe_b64decode(payload + "==") == RX
    assert rx.read_bytes() == RX


@pytest.mark.real
def test_openssl_verifies_what_the_card_signed(place: Workplace, rx: Path, anchor: Path, chain: Path) -> None:
    place.agent("sign", rx, "--format", "cades", "--chain", chain, "--yes", pins=(SIGN,))
    checked = openssl(
        *("cms", "-verify", "-binary", "-inform", "DER", "-in", place.folder / "rx.p7s", "-content", rx),
        *("-CAfile", anchor, "-purpose", "any", "-out", place.folder / "content"),
    )
    assert checked.returncode == 0, checked.stderr
    assert (place.folder / "content").read_bytes() == RX


@pytest.mark.real
def test_poppler_calls_the_signed_page_valid(place: Workplace, chain: Path) -> None:
    program = shutil.which("pdfsig")
    if program is None:
        pytest.skip("poppler-utils is not installed")
    page = place.write("report.pdf", sample_pdf())
    place.agent("sign", page, "--format", "pades", "--chain", chain, "--yes", pins=(SIGN,))
    said = subprocess.run(
        [program, "-nocert", "report.signed.pdf"], cwd=place.folder, capture_output=True, text=True, check=False
    ).stdout
    assert "Signature is Valid" in said


def test_the_signer_sees_patient_drug_and_dose_before_being_asked(place: Workplace, rx: Path) -> None:
    ended = place.agent("sign", rx, "--format", "jades", answers="n\n")
    before, _, _after = ended.messages.partition("Sign it?")
    for value in ("علی نمونه", "0000012351", "آموکسی‌سیلین", "500"):
        assert value in before
    assert LEGAL_EFFECT.fa in before
    assert "SHA-256" in before
    assert "CN=نمونهٔ پزشک" in before


@pytest.mark.parametrize("answer", ["n\n", "\n", "", "no\n"])
def test_whoever_does_not_say_yes_declines(place: Workplace, rx: Path, answer: str) -> None:
    ended = place.agent("sign", rx, "--format", "jades", pins=(SIGN,), answers=answer)
    assert (ended.status, ended.code) == (1, "consent-refused")
    assert place.sent(Instruction.VERIFY) == 0
    assert place.sent(Instruction.PERFORM_SECURITY_OPERATION) == 0
    assert [path.name for path in place.folder.iterdir()] == ["rx.json"]


def test_whoever_says_yes_signs(place: Workplace, rx: Path) -> None:
    assert place.agent("sign", rx, "--format", "jades", pins=(SIGN,), answers="y\n").status == 0
    assert place.sent(Instruction.VERIFY) == 1


def test_a_wrong_pin_says_how_many_tries_are_left_and_writes_nothing(place: Workplace, rx: Path) -> None:
    ended = place.agent("sign", rx, "--format", "jades", "--yes", pins=("000000",))
    assert (ended.status, ended.code) == (1, "pin-incorrect")
    assert "2 tries left" in ended.messages
    assert "000000" not in ended.messages + ended.output
    assert place.sent(Instruction.PERFORM_SECURITY_OPERATION) == 0
    assert [path.name for path in place.folder.iterdir()] == ["rx.json"]


def test_the_last_try_wants_to_be_meant(place: Workplace, rx: Path) -> None:
    for _ in range(2):
        place.agent("sign", rx, "--format", "jades", "--yes", pins=("000000",))
    arguments = ("sign", rx, "--format", "jades", "--yes")
    assert place.agent(*arguments, pins=(SIGN,)).code == "pin-last-try"
    assert place.agent(*arguments, "--last-try", pins=(SIGN,)).status == 0


def test_a_blocked_pin_is_not_asked_for(place: Workplace, rx: Path) -> None:
    for _ in range(3):
        place.agent("sign", rx, "--format", "jades", "--yes", "--last-try", pins=("000000",))
    assert place.agent("sign", rx, "--format", "jades", "--yes", "--pin-fd", "65535").code == "pin-blocked"


@pytest.mark.parametrize("moment", [Instruction.SELECT, Instruction.VERIFY, Instruction.PERFORM_SECURITY_OPERATION])
def test_a_pulled_card_leaves_the_older_signature_as_it_was(place: Workplace, rx: Path, moment: Instruction) -> None:
    older = place.write("rx.jades.json", b"signed yesterday")
    place.pull_at = moment
    ended = place.agent("sign", rx, "--format", "jades", "--yes", pins=(SIGN,))
    assert (ended.status, ended.code) == (2, "card-removed")
    assert older.read_bytes() == b"signed yesterday"
    assert {path.name for path in place.folder.iterdir()} == {"rx.json", "rx.jades.json"}


def test_a_card_that_lies_about_its_signature_signs_nothing(
    place: Workplace, rx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = ready_state()
    state.keys[2].pkcs8 = personalised_state().keys[2].pkcs8  # another private key than the certificate's
    place.state = state
    ended = place.agent("sign", rx, "--format", "jades", "--yes", pins=(SIGN,))
    assert (ended.status, ended.code) == (1, "card-signature-mismatch")
    assert [path.name for path in place.folder.iterdir()] == ["rx.json"]


def test_a_key_without_a_certificate_signs_nothing(place: Workplace, rx: Path) -> None:
    place.state = new_state()
    place.agent("personalise", "keygen", "--csr", place.folder / "x.csr", pins=(SIGN,))
    assert place.agent("sign", rx, "--format", "jades", "--yes", pins=(SIGN,)).code == "card-key-not-found"


def test_hidden_characters_and_turned_text_are_shown_as_marks(place: Workplace) -> None:
    turned = RX.replace("علی".encode(), f"علی{BIDI}".encode())
    assert turned != RX
    ended = place.agent("sign", place.write("rx.json", turned), "--format", "jades", answers="n\n")
    assert BIDI not in ended.messages
    assert "علی⟦U+202E⟧" in ended.messages


def test_a_file_s_name_cannot_steer_the_terminal(place: Workplace) -> None:
    path = place.write(f"rx{BIDI}\x1b[2J.json", RX)
    ended = place.agent("sign", path, "--format", "jades", answers="n\n")
    assert not {BIDI, "\x1b"} & set(ended.messages)


@pytest.mark.parametrize(
    ("data", "form", "code"),
    [
        (b"", "jades", "input-empty"),
        (b"", "pades", "input-empty"),
        (b'{"a":1', "jades", "json-malformed"),
        (b'{"a":1,"a":2}', "jades", "json-malformed"),
        (bytes(range(256)) * 40, "pades", "input-malformed"),
        (sample_pdf()[:400], "pades", "input-malformed"),
        (bytes(50 * 1024 * 1024 + 1), "cades", "input-too-large"),
    ],
    ids=["empty", "empty-pdf", "cut-json", "ambiguous-json", "no-pdf", "cut-pdf", "large"],
)
def test_a_document_that_cannot_be_shown_is_not_signed(place: Workplace, data: bytes, form: str, code: str) -> None:
    ended = place.agent("sign", place.write("x", data), "--format", form, "--yes", pins=(SIGN,))
    assert (ended.status, ended.code) == (1, code), ended.messages + ended.trace
    assert place.sent(Instruction.VERIFY) == 0
    assert [path.name for path in place.folder.iterdir()] == ["x"]


def test_octets_of_no_known_kind_are_shown_by_digest_and_signed(place: Workplace) -> None:
    path = place.write("scan.bin", bytes(range(256)))
    ended = place.agent("sign", path, "--format", "cades", "--yes", pins=(SIGN,))
    assert ended.status == 0
    assert "application/octet-stream" in ended.messages


@pytest.mark.parametrize("name", ["absent", ".", "", "absent/below", "n" * 300])
def test_a_file_that_cannot_be_read_reaches_no_card(place: Workplace, name: str) -> None:
    ended = place.agent("sign", place.folder / name if name else "", "--format", "jades", "--yes", pins=(SIGN,))
    assert (ended.status, ended.code) == (1, "file-unreadable")
    assert place.opened == []


@pytest.mark.parametrize("target", ["absent/out", ".", "n" * 300])
def test_a_place_that_cannot_be_written_costs_no_pin(place: Workplace, rx: Path, target: str) -> None:
    ended = place.agent("sign", rx, "--format", "jades", "--yes", "-o", place.folder / target, pins=(SIGN,))
    assert (ended.status, ended.code) == (1, "file-unwritable")
    assert place.opened == []


def test_the_signature_never_takes_the_document_s_place(place: Workplace, rx: Path) -> None:
    ended = place.agent("sign", rx, "--format", "cades", "--yes", "-o", rx, pins=(SIGN,))
    assert (ended.status, ended.code) == (3, "usage")
    assert rx.read_bytes() == RX


@pytest.mark.parametrize(
    "options", [("--level", "T"), ("--tsa", "http://127.0.0.1:1/"), ("--format", "xades"), ("--pin", SIGN), ()]
)
def test_wrong_options_are_told_without_a_card(place: Workplace, rx: Path, options: tuple[str, ...]) -> None:
    form = () if "--format" in options or not options else ("--format", "jades")
    ended = place.agent("sign", rx, *form, *options)
    assert (ended.status, ended.code) == (3, "usage")
    assert place.opened == []


@pytest.mark.parametrize(
    ("answer", "code", "status"),
    [
        (reply(b"x", headers="Content-Type: text/html\r\n"), "timestamp-invalid", 1),
        (reply(b"", status="500 Internal"), "timestamp-unavailable", 2),
        (reply(b"", status="302 Found", headers="Location: https://127.0.0.1:1/\r\n"), "timestamp-unavailable", 2),
    ],
    ids=["no-token", "error", "redirect"],
)
def test_a_time_stamp_that_does_not_come_leaves_no_file(
    place: Workplace, rx: Path, answer: bytes, code: str, status: int
) -> None:
    with raw_server(always(answer)) as (url, _heads):
        ended = place.agent(
            *("sign", rx, "--format", "jades", "--level", "T", "--tsa", f"{url}/tsa", "--yes"), pins=(SIGN,)
        )
    assert (ended.status, ended.code) == (status, code)
    assert [path.name for path in place.folder.iterdir()] == ["rx.json"]


def test_the_issuers_given_travel_with_the_signature(place: Workplace, rx: Path, chain: Path) -> None:
    place.agent("sign", rx, "--format", "cades", "--chain", chain, "--yes", pins=(SIGN,))
    (signature,) = parse_cms((place.folder / "rx.p7s").read_bytes(), RX).signatures
    assert isinstance(signature, ParsedSignature)
    assert authority().intermediate.certificate in signature.certificates


@pytest.mark.parametrize(
    ("data", "code"), [(b"", "input-empty"), (b"no pem", "certificate-malformed"), (None, "file-unreadable")]
)
def test_a_chain_that_cannot_be_read_reaches_no_card(place: Workplace, rx: Path, data: bytes | None, code: str) -> None:
    given = place.folder / "absent.pem" if data is None else place.write("chain.pem", data)
    ended = place.agent("sign", rx, "--format", "jades", "--yes", "--chain", given, pins=(SIGN,))
    assert (ended.status, ended.code) == (1, code)
    assert place.opened == []


def test_a_chain_without_the_issuer_is_refused_before_the_pin(place: Workplace, rx: Path) -> None:
    other = place.write("chain.pem", authority().clinician.pem.encode())
    assert place.agent("sign", rx, "--format", "jades", "--yes", "--chain", other, pins=(SIGN,)).code == "not-found"
    assert place.sent(Instruction.VERIFY) == 0
