"""`mohr verify` as a command: exit statuses, lines, options, and no traceback whatever it is given."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signer.formats.cades import sign_cades
from signer.formats.jades import sign_jades
from signer.verify_cli import verify
from tests.support.forge import flip
from tests.support.zoo import SIGNED_AT, Zoo, make_clinician, make_zoo

AT = ("--at", "2026-11-22T12:30:00+03:30", "--offline")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def zoo() -> Zoo:
    return make_zoo()


@pytest.fixture
def files(tmp_path: Path, zoo: Zoo) -> Path:
    home = tmp_path / "home" / "public"
    for folder in ("ca", "crl/persons", "crl/root"):
        (home / folder).mkdir(parents=True)
    (home / "root.pem").write_text(zoo.root.pem)
    (home / "ca" / "persons.cer").write_bytes(zoo.intermediate.certificate.der)
    (home / "crl" / "root" / "0.crl").write_bytes(zoo.root.crl())
    (home / "crl" / "persons" / "0.crl").write_bytes(zoo.intermediate.crl())
    holder = zoo.clinician
    good = sign_jades(b'{"dose":1.50}', holder.key, (holder.certificate,), signed_at=SIGNED_AT)
    detached = sign_cades(b"scan", holder.key, (holder.certificate,), signed_at=SIGNED_AT)
    enveloping = sign_cades(b"scan", holder.key, holder.chain, signed_at=SIGNED_AT, detached=False)
    for name, data in {
        "good.json": good,
        "broken.p7m": enveloping.replace(b"scan", b"span"),
        "scan.p7s": detached,
        "scan.bin": b"scan",
        "root.pem": zoo.root.pem.encode(),
        "signer.pem": zoo.clinician.pem.encode(),
        "empty": b"",
        "plain.txt": b"nothing signed",
        "page.html": b"<html></html>",
    }.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def run(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(verify, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_file_that_passes_ends_with_0(files: Path) -> None:
    result = run(files / "good.json", "--home", files / "home", "--json", *AT)
    (line,) = lines(result)
    assert (result.exit_code, line["indication"], line["file"]) == (0, "TOTAL-PASSED", str(files / "good.json"))
    assert line["validated_at"] == "2026-11-22T09:00:00Z"


def test_the_worst_of_several_files_decides(files: Path) -> None:
    home = ("--home", files / "home", "--json", *AT)
    good, broken, plain, missing = (files / n for n in ("good.json", "broken.p7m", "plain.txt", "missing"))
    assert run(good, plain, *home).exit_code == 2
    assert run(good, plain, broken, *home).exit_code == 1
    result = run(good, missing, broken, *home)
    assert result.exit_code == 3
    assert [line["indication"] for line in lines(result)] == ["TOTAL-PASSED", "TOTAL-FAILED"]
    assert "file-unreadable" in result.stderr


def test_without_a_deployment_the_answer_is_undecided(files: Path) -> None:
    result = run(files / "good.json", "--json", *AT)
    (line,) = lines(result)
    assert (result.exit_code, line["sub_indication"]) == (2, "NO_CERTIFICATE_CHAIN_FOUND")
    assert line["signatures"][0]["crypto"] == "intact"


def test_an_anchor_may_be_the_signer(files: Path) -> None:
    assert run(files / "good.json", "--anchor", files / "signer.pem", "--json", *AT).exit_code == 0
    result = run(files / "good.json", "--anchor", files / "root.pem", "--anchor", files / "signer.pem", "--json", *AT)
    assert result.exit_code == 0


def test_detached_content_is_given_beside(files: Path) -> None:
    pinned = ("--anchor", files / "signer.pem", "--json", *AT)
    assert lines(run(files / "scan.p7s", *pinned))[0]["sub_indication"] == "SIGNED_DATA_NOT_FOUND"
    assert run(files / "scan.p7s", "--content", files / "scan.bin", *pinned).exit_code == 0
    assert run(files / "scan.p7s", "--content", files / "plain.txt", *pinned).exit_code == 1


def test_a_policy_is_chosen_by_name_or_file(files: Path) -> None:
    home = ("--home", files / "home", "--json", *AT)
    assert run(files / "good.json", "--policy", "health-cluster", *home).exit_code == 0
    (files / "policy.json").write_text('{"base":"health-cluster","professions":["nurse"],"name":"nurses"}')
    result = run(files / "good.json", "--policy", files / "policy.json", *home)
    assert (result.exit_code, lines(result)[0]["policy"]) == (2, "nurses")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("good.json", "--at", "yesterday"),
        ("good.json", "--at", "2026-11-22T09:00:00"),
        ("good.json", "--at", "9999-11-22T09:00:00Z"),
        ("good.json", "--anchor", "missing.pem"),
        ("good.json", "--anchor", "plain.txt"),
        ("good.json", "--policy", "missing.json"),
        ("good.json", "--policy", "plain.txt"),
        ("good.json", "--content", "missing"),
        ("good.json", "--home", "missing"),
        ("good.json", "--report", "out.txt"),
        ("good.json", "plain.txt", "--report", "out.html"),
        ("good.json", "--report", "no/such/folder/out.html"),
        ("page.html", "--report", "page.html"),
        ("good.json", "--unknown"),
        ("good.json", "--jobs", "0"),
        ("good.json", "--results", "no/such/folder/out.jsonl"),
    ],
)
def test_a_wrong_command_line_ends_with_3_and_a_sentence(files: Path, arguments: tuple[str, ...]) -> None:
    """Through the program, as a person calls it."""
    done = subprocess.run(
        [sys.executable, "-m", "webapp", "verify", *arguments],
        cwd=files,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert done.stderr.strip()
    assert "Traceback" not in done.stderr
    assert not done.stdout


@pytest.mark.parametrize(
    ("suffix", "start"), [("html", b"<!doctype html>"), ("pdf", b"%PDF-1.7"), ("json", b"{"), ("xml", b"<?xml")]
)
def test_a_report_is_what_its_name_says_and_the_same_each_time(files: Path, suffix: str, start: bytes) -> None:
    reports = [files / f"{name}.{suffix}" for name in ("out", "again")]
    for report in reports:
        assert run(files / "good.json", "--home", files / "home", "--report", report, *AT).exit_code == 0
    first, second = (report.read_bytes() for report in reports)
    assert first.startswith(start)
    assert first == second


def test_a_reader_that_leaves_is_no_verdict(files: Path) -> None:
    """`mohr verify … | head` says neither valid nor not valid, and nothing on standard error."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "webapp", "verify", "good.json", "broken.p7m", "plain.txt", "--offline", "--json"],
            cwd=files,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_people_get_both_languages_and_no_control_characters(files: Path, zoo: Zoo) -> None:
    holder = make_clinician(zoo.intermediate, common_name="Eve \u202e\x1b[31m")
    (files / "eve.json").write_bytes(sign_jades(b"{}", holder.key, holder.chain, signed_at=SIGNED_AT))
    result = run(files / "eve.json", "--home", files / "home", *AT)
    assert result.exit_code == 0
    assert "معتبر / valid" in result.stdout
    assert "TOTAL-PASSED" in result.stdout
    assert "\x1b" not in result.stdout
    assert "\u202e" not in result.stdout


def test_empty_and_plain_files_are_undecided(files: Path) -> None:
    for name in ("empty", "plain.txt", "scan.bin"):
        result = run(files / name, "--json", *AT)
        (line,) = lines(result)
        assert (result.exit_code, line["format"], line["signatures"]) == (2, None, [])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 3000), tail=st.binary(max_size=20))
def test_any_file_gives_one_line(files: Path, at: int, tail: bytes) -> None:
    good = (files / "good.json").read_bytes()
    (files / "odd").write_bytes(flip(good, at % len(good))[: len(good) - len(tail)] + tail)
    result = run(files / "odd", "--home", files / "home", "--json", *AT)
    assert result.exit_code in (0, 1, 2)
    assert len(lines(result)) == 1


def test_fifty_megabytes_are_answered(files: Path) -> None:
    for opening in (b"", b"%PDF-1.7\n", b"{", b'{"payload":"', bytes.fromhex("308006092a864886f70d010702a0803080")):
        (files / "large").write_bytes(opening + b"\x30\x80" * (25 * 1024 * 1024))
        result = run(files / "large", "--json", *AT)
        assert result.exit_code in (1, 2)
        assert len(lines(result)) == 1


def test_more_than_the_limit_is_answered(files: Path) -> None:
    with (files / "huge").open("wb") as stream:
        stream.write(b"%PDF-1.7\n")
        stream.truncate(3 * 1024**3)
    result = run(files / "huge", "--json", *AT)
    (line,) = lines(result)
    assert (result.exit_code, line["format"], line["reasons"][0]["code"]) == (2, "PAdES", "input-too-large")


def test_the_command_loads_neither_server_nor_database_nor_pdf() -> None:
    code = (
        "import sys, signer.verify_cli; "
        "heavy = {'flask', 'sqlalchemy', 'pyhanko', 'asn1crypto', 'hsm', 'ssl', 'persiantools'} & set(sys.modules); "
        "print(sorted(heavy)); sys.exit(bool(heavy))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout


def test_now_is_the_validation_time_if_none_is_given(files: Path) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    (line,) = lines(run(files / "good.json", "--json", "--offline"))
    assert before <= datetime.fromisoformat(line["validated_at"]) <= datetime.now(UTC)
