"""Folders of files: every file is judged once, in order, also when a run is broken off; tables hold no formula."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import example, given
from hypothesis import strategies as st

from pki.errors import Conflict, InvalidInput
from signer.bulk import Results, files_under, table
from signer.formats.jades import sign_jades
from signer.isolation.order import Answer, Form
from signer.validation.context import VerificationContext
from signer.validation.verdict import Indication
from signer.verify_cli import _Sitting, verify
from tests.support.programs import REPOSITORY
from tests.support.zoo import SIGNED_AT, make_zoo

RUN = {"inputs": "a", "at": "2026-11-22T09:00:00Z"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of good, bad and unsigned files, some below others."""
    top, zoo = tmp_path_factory.mktemp("many") / "in", make_zoo()
    (top / "deep" / "er").mkdir(parents=True)
    holder = zoo.clinician
    good = sign_jades(b'{"dose":1}', holder.key, holder.chain, signed_at=SIGNED_AT)
    for number in range(6):
        (top / f"good{number}.json").write_bytes(good)
    (top / "deep" / "bad.json").write_bytes(good.replace(b'"signature":"', b'"signature":"AA'))
    (top / "deep" / "er" / "=formula.txt").write_bytes(b"nothing signed")
    (top.parent / "root.pem").write_text(zoo.root.pem)
    return top


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(verify, [*map(str, arguments), "--offline"])


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("jobs", ["1", "3"])
def test_every_file_below_a_folder_is_judged_in_order(folder: Path, jobs: str) -> None:
    result = run(folder, "--json", "--jobs", jobs)
    found = lines(result.stdout)
    assert [line["file"] for line in found] == sorted(str(path) for path in folder.rglob("*") if path.is_file())
    assert result.exit_code == 1
    assert [line["indication"] for line in found].count("TOTAL-FAILED") == 1


def test_a_run_goes_on_where_it_ended_and_judges_what_changed_again(folder: Path, tmp_path: Path) -> None:
    kept = tmp_path / "results.jsonl"
    first = run(folder, "--results", kept)
    assert first.stdout == ""
    whole = kept.read_bytes()
    kept.write_bytes(whole[: whole.rindex(b"\n", 0, -1) + 40])  # the last line was being written
    again = run(folder, "--results", kept)
    assert again.exit_code == first.exit_code
    assert kept.read_bytes() == whole
    (folder / "good5.json").write_bytes(b"something else")
    run(folder, "--results", kept)
    added = kept.read_bytes().removeprefix(whole)
    assert [line["file"] for line in lines(added.decode())] == [str(folder / "good5.json")]


def test_results_of_another_run_are_not_mixed(folder: Path, tmp_path: Path) -> None:
    kept = tmp_path / "results.jsonl"
    run(folder, "--results", kept)
    before = kept.read_bytes()
    result = run(folder, "--results", kept, "--policy", "health-cluster")
    assert result.exit_code == 1
    assert "another run" in result.stderr
    assert kept.read_bytes() == before


def test_a_table_has_a_line_for_each_file(folder: Path, tmp_path: Path) -> None:
    kept, written = tmp_path / "results.jsonl", tmp_path / "table.csv"
    run(folder, "--results", kept, "--csv", written)
    with_results = written.read_bytes()
    run(folder, "--csv", written)
    assert written.read_bytes() == with_results
    rows = list(csv.DictReader(written.read_text("utf-8-sig").splitlines()))
    assert len(rows) == sum(path.is_file() for path in folder.rglob("*"))
    assert all(row["sha256"] and row["indication"] for row in rows)


@example("rx;=1+1")
@example("rx\t=1+1")
@example("\uff1d1+1")
@given(text=st.text(min_size=1, max_size=12))
def test_no_cell_of_a_table_is_a_formula(text: str) -> None:
    verdict: dict[str, Any] = {
        "file": text,
        "format": None,
        "indication": "x",
        "sub_indication": None,
        "signatures": [],
    }
    written = list(table([verdict]))
    for parted_by in ",;\t":  # as the language of a system has it
        *_, cells = csv.reader(written, delimiter=parted_by)
        assert not any(cell.startswith(tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")) for cell in cells)
    _, row = csv.reader(written)
    assert text.lstrip("\r\n") == "" or row[0].removeprefix("'") in (text, text.removeprefix("'"))


def large(number: int) -> bytes:
    words = {"file": f"{number:04}", "sha256": "00", "format": None, "indication": "INDETERMINATE"}
    return json.dumps({**words, "sub_indication": None, "signatures": [], "more": "x" * 50_000}).encode()


def test_a_table_of_many_verdicts_is_written_without_having_them_all_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = [*range(100, 200), *range(100)]

    def give(_sitting: object, _paths: object, take: Any) -> None:
        for number in numbers:
            take(Answer(indication=Indication.INDETERMINATE, text=large(number)))

    monkeypatch.setattr(_Sitting, "judge", give)
    sitting = _Sitting(VerificationContext(at=SIGNED_AT), Form.JSON, None, 1)
    tracemalloc.start()
    try:
        sitting.go_on([], tmp_path / "results", "a", tmp_path / "one.csv")
        sitting.tabulate([], tmp_path / "other.csv")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000  # they are ten
    rows = list(csv.DictReader((tmp_path / "one.csv").read_text("utf-8-sig").splitlines()))
    assert [row["file"] for row in rows] == [f"{number:04}" for number in range(200)]
    assert len((tmp_path / "other.csv").read_text("utf-8-sig").splitlines()) == 201


def test_folders_are_entered_and_their_links_are_not(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(b"")
    (tmp_path / "a" / "loop").symlink_to(tmp_path / "a")
    os.mkfifo(tmp_path / "a" / "pipe")
    assert files_under([tmp_path / "a", tmp_path / "named"]) == [tmp_path / "a" / "b" / "file", tmp_path / "named"]


@pytest.mark.parametrize("held", [b'{"run":[]}\n', b'{"run":{"inputs":"b"}}\n', b"{}\n"])
def test_a_file_of_something_else_is_left_as_it_is(tmp_path: Path, held: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(held)
    with pytest.raises(Conflict):
        Results.open(path, RUN)
    assert path.read_bytes() == held


def test_a_file_that_holds_no_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a prescription\n")
    with pytest.raises(InvalidInput):
        Results.open(path, RUN)
    assert path.read_bytes() == b"a prescription\n"


@pytest.mark.real
def test_a_run_that_is_killed_loses_nothing_and_repeats_nothing(folder: Path, tmp_path: Path) -> None:
    kept = tmp_path / "results.jsonl"
    many = tmp_path / "many"
    many.mkdir()
    for number in range(400):
        (many / f"{number:03}.json").write_bytes((folder / "good1.json").read_bytes())
    command = (sys.executable, "-m", "webapp", "verify", str(many), "--offline", "--results", str(kept), "--jobs", "2")
    with subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.DEVNULL) as process:
        while not kept.exists() or kept.stat().st_size < 20_000:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=False, timeout=60)
    assert done.returncode == 2
    judged = [line["file"] for line in lines(kept.read_text())[1:]]
    assert judged == sorted(str(path) for path in many.iterdir())


def test_nothing_left_to_do_is_an_end(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert run(tmp_path / "empty").exit_code == 2
    kept = tmp_path / "results.jsonl"
    first = run(folder, "--results", kept)
    assert run(folder, "--results", kept).exit_code == first.exit_code


@pytest.mark.parametrize("output", ["--results", "--csv", "--report"])
def test_what_is_read_is_never_written_over(tmp_path: Path, output: str) -> None:
    file = tmp_path / "prescription.xml"
    file.write_bytes(b'{"payload":"","signatures":[]}')
    result = run(file, output, file)
    assert result.exit_code != 0
    assert file.read_bytes() == b'{"payload":"","signatures":[]}'


@pytest.mark.parametrize("read_by", ["--content", "--anchor", "--issuers", "--policy", "--trust-signer"])
def test_what_is_read_beside_the_files_is_never_written_over(tmp_path: Path, read_by: str) -> None:
    signed, beside = tmp_path / "signed", tmp_path / "beside"
    signed.write_bytes(b"{}")
    for held in (b"an anchor, or content", b""):
        beside.write_bytes(held)
        assert run(signed, read_by, beside, "--csv", beside).exit_code != 0
        assert beside.read_bytes() == held


def test_a_table_replaces_nothing_but_a_table(tmp_path: Path) -> None:
    folder, signed = tmp_path / "in", tmp_path / "in" / "signed"
    folder.mkdir()
    signed.write_bytes(b'{"payload":"","signatures":[]}')
    assert run(folder, "--csv", signed).exit_code != 0
    assert signed.read_bytes() == b'{"payload":"","signatures":[]}'
    for _ in range(2):
        assert run(folder, "--csv", tmp_path / "out.csv").exit_code == 1


def test_two_outputs_are_two_files(tmp_path: Path) -> None:
    (tmp_path / "signed").write_bytes(b"{}")
    assert run(tmp_path / "signed", "--csv", tmp_path / "out", "--results", tmp_path / "out").exit_code == 2
    assert not (tmp_path / "out").exists()


def test_a_table_that_cannot_be_written_is_told_before_anything_is_judged(tmp_path: Path) -> None:
    (tmp_path / "signed").write_bytes(b"{}")
    result = run(tmp_path / "signed", "--results", tmp_path / "kept", "--csv", tmp_path / "nowhere" / "out.csv")
    assert result.exit_code != 0
    assert not (tmp_path / "kept").exists()


def test_a_results_file_is_a_regular_file() -> None:
    with pytest.raises(InvalidInput, match="no regular file"):
        Results.open(Path("/dev/zero"), RUN)


def test_a_results_file_is_begun_over_nothing_but_its_own_beginning(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for held in (b"", b'{"ru', b'{"run":{"inputs"'):
        path.write_bytes(held)
        Results.open(path, RUN).__exit__()
        assert path.read_bytes() == json.dumps({"run": RUN}).encode() + b"\n"
    path.write_bytes(b'{"payload":"signed"}')
    with pytest.raises(Conflict):
        Results.open(path, RUN)
    assert path.read_bytes() == b'{"payload":"signed"}'


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b"[]",
        b'{"run":1}',
        b'{"indication":"TOTAL-PASSED"}',
        b'{"indication":["TOTAL-PASSED"],"file":"a","sha256":"b","format":"c","sub_indication":null,"signatures":[]}',
        b'{"indication":"PERHAPS","file":"a","sha256":"b","format":"c","sub_indication":null,"signatures":[]}',
        b'{"indication":"TOTAL-PASSED","file":[],"sha256":"b","format":"c","sub_indication":null,"signatures":[]}',
        b'{"indication":"TOTAL-PASSED","file":"a","sha256":{},"format":"c","sub_indication":null,"signatures":[]}',
        b"no JSON",
    ],
)
def test_a_results_file_with_a_line_that_is_no_verdict_is_left_as_it_is(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "file"
    held = json.dumps({"run": RUN}).encode() + b"\n" + line + b"\n"
    path.write_bytes(held)
    with pytest.raises((Conflict, InvalidInput)):
        Results.open(path, RUN)
    assert path.read_bytes() == held


def test_outputs_in_the_folder_are_not_judged(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_bytes(b"nothing signed")
    for _ in range(2):
        run(tmp_path, "--results", tmp_path / "out.jsonl", "--csv", tmp_path / "out.csv")
    assert len((tmp_path / "out.jsonl").read_bytes().splitlines()) == 2


def test_names_of_any_octets_stay_apart(tmp_path: Path) -> None:
    for octets in (b"x\xe1.json", b"x\xe2.json"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + octets)).write_bytes(b"nothing")
    kept = tmp_path.parent / f"{tmp_path.name}.jsonl"
    for _ in range(2):
        run(tmp_path, "--results", kept)
    names = [line["file"] for line in lines(kept.read_text())[1:]]
    assert len(names) == len(set(names)) == 2


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    assert run(tmp_path).exit_code == 3


def test_no_name_steers_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "a\u009b31m\u202eb").write_bytes(b"nothing")
    said = run(tmp_path, "--json").stdout
    assert "\u009b" not in said
    assert "\u202e" not in said
    assert "\u009b31m\u202eb" in lines(said)[0]["file"]
