"""Hostile input at every entry of the command line: a sentence with a code or a verdict, never a traceback."""

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from hsm.soft import UnsafeSoftKey
from pki.csr import build_csr
from pki.keys import SignatureAlgorithm
from signer.samples import sample_pdf, sample_prescription
from tests.e2e.entries import ALL_COMMANDS, ENTRIES, NEED_A_DEPLOYMENT, Entry, arguments_of
from tests.e2e.wrong_words import WRONG_WORDS
from tests.support.deployment import PHYSICIAN, LiveDeployment
from tests.support.pki import make_path
from tests.support.programs import Ended, run_here, run_process

pytestmark = pytest.mark.real
SECONDS = 60.0
TOO_LARGE = 51 * 1024 * 1024
RANDOM = b"".join(hashlib.sha256(bytes((number,))).digest() for number in range(128))


@pytest.fixture(scope="module")
def kit(live: LiveDeployment, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Good files for every place, and names of things in the deployment."""
    folder = tmp_path_factory.mktemp("kit")
    path, key = make_path(), UnsafeSoftKey.generate(SignatureAlgorithm.ES256)
    contents = {
        "rx": sample_prescription(),
        "pdf": sample_pdf(),
        "key": path.clinician.key.private_pem(),
        "cert": path.clinician.pem.encode(),
        "csr": build_csr(key, "a wish"),
        "person": json.dumps(PHYSICIAN, ensure_ascii=False).encode(),
        "token": b"eyJhbGciOiJFUzI1NiJ9.eyJhIjoxfQ." + b"A" * 86,
        "vkey": live.deployment.ledger_key.read_bytes(),
    }
    files = {name: folder / name for name in contents}
    for name, data in contents.items():
        files[name].write_bytes(data)
    files |= {name: folder / name for name in ("jades", "cades", "pades", "note")}
    for form, source in (("jades", "rx"), ("cades", "rx"), ("pades", "pdf")):
        key_uri = f"file:{files['key']}"
        live.answerless("sign", files[source], "--format", form, "--key", key_uri, "--cert", files["cert"],
                        "-o", files[form])  # fmt: skip
    live.answerless("audit", "checkpoint", "-o", files["note"])
    requested = live.answer(
        "token", "request", "--siam", "pilot-clinic-1", "--system", "his-demo-1", "--officer", "clerk-parsa"
    )
    named = {"home": live.deployment.home, "root": live.deployment.anchor}
    return files | named | {"file_id": Path(live.file_id), "token_id": Path(str(requested["id"]))}


@pytest.fixture
def files(kit: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    """The kit, and a place for what a command writes."""
    return kit | {"out": tmp_path / "out"}


def _empty(path: Path, _good: bytes) -> Path:
    path.touch()
    return path


def _random(path: Path, _good: bytes) -> Path:
    path.write_bytes(RANDOM)
    return path


def _truncated(path: Path, good: bytes) -> Path:
    path.write_bytes(good[: len(good) * 2 // 3])
    return path


def _large(path: Path, _good: bytes) -> Path:
    with path.open("wb") as file:
        file.truncate(TOO_LARGE)
    return path


def _folder(path: Path, _good: bytes) -> Path:
    path.mkdir()
    (path / "x").touch()
    return path


def _unreadable_name(path: Path, good: bytes) -> Path:
    return _random(path.with_name(os.fsdecode(b"x-\xff\xfe.json")), good)


HOSTILE: dict[str, Callable[[Path, bytes], Path]] = {
    "empty": _empty,
    "random": _random,
    "truncated": _truncated,
    "51-MB": _large,
    "missing": lambda path, _good: path,
    "folder": _folder,
    "unreadable-name": _unreadable_name,
    "name-too-long": lambda path, _good: path.with_name("n" * 300),
    "below-a-file": lambda path, good: _random(path, good) / "x",
}


def _run(line: str, files: dict[str, Path], hostile: Path | None = None) -> Ended:
    """Run a line; whatever it is, it ends in time and without a trace."""
    program, arguments = arguments_of(line, files, hostile)
    started = time.monotonic()
    ended = run_here(program, *arguments)
    assert time.monotonic() - started < SECONDS
    assert ended.trace == ""
    assert "Traceback" not in ended.messages + ended.output
    return ended


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.line.replace(" ", "_"))
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_is_answered_with_a_code_or_a_verdict(
    entry: Entry, kind: str, files: dict[str, Path], tmp_path: Path
) -> None:
    hostile = HOSTILE[kind](tmp_path / "hostile", files[entry.good].read_bytes())
    ended = _run(entry.line, files, hostile)
    if kind in entry.takes and ended.status == 0:
        return
    assert ended.status in (1, 2, 3), ended.messages
    assert ended.code or _is_verdict(ended.output), ended.messages
    assert not files["out"].exists()


def _is_verdict(output: str) -> bool:
    try:
        document = json.loads(output.splitlines()[-1])
    except (ValueError, IndexError):
        return False
    return bool({"indication", "decision", "findings"} & set(document))


@pytest.mark.parametrize("line", NEED_A_DEPLOYMENT)
def test_without_a_deployment_nothing_is_done_and_nothing_is_made(
    line: str, files: dict[str, Path], tmp_path: Path
) -> None:
    home = tmp_path / "nothing"
    home.mkdir()
    for place in (home, tmp_path / "absent"):
        ended = _run(f"{line} --home {place}", files)
        assert (ended.status, ended.code) == (1, "deployment-missing")
    assert list(home.iterdir()) == []
    assert not (tmp_path / "absent").exists()
    assert not files["out"].exists()


@pytest.mark.parametrize(("line", "code"), WRONG_WORDS)
def test_a_wrong_word_is_told_by_its_code(line: str, code: str, files: dict[str, Path]) -> None:
    before = _owners(files["home"])
    ended = _run(line, files)
    assert (ended.code, ended.output) == (code, ""), ended.messages
    assert ended.status in ((3,) if code == "usage" else (1, 2, 3))
    assert not files["out"].exists()
    assert _owners(files["home"]) == before


def _owners(home: Path) -> dict[str, tuple[int, int, int]]:
    """Return owner, group and mode of what lies at the top of a deployment and among its custodian's files."""
    places = (*home.iterdir(), *(home / "custodian").iterdir())
    return {str(place): (place.stat().st_uid, place.stat().st_gid, place.stat().st_mode) for place in places}


DAMAGE: dict[str, Callable[[Path], object]] = {
    "settings-garbage": lambda home: (home / "mohr.toml").write_bytes(RANDOM),
    "settings-empty": lambda home: (home / "mohr.toml").write_bytes(b""),
    "settings-of-other-types": lambda home: (home / "mohr.toml").write_text("public_url = 1\n"),
    "settings-with-a-wrong-address": lambda home: _replace(home / "mohr.toml", "http://", "http://["),
    "settings-with-a-wrong-database": lambda home: _append(home / "mohr.toml", 'database_url = "mysql://x"\n'),
    "database-garbage": lambda home: (home / "data" / "mohr.db").write_bytes(RANDOM),
    "database-empty": lambda home: (home / "data" / "mohr.db").write_bytes(b""),
    "database-missing": lambda home: (home / "data" / "mohr.db").unlink(),
    "database-a-folder": lambda home: _make_folder(home / "data" / "mohr.db"),
    "log-key-garbage": lambda home: (home / "public" / "ledger.vkey").write_bytes(RANDOM),
    "log-key-missing": lambda home: (home / "public" / "ledger.vkey").unlink(),
}


def _replace(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


def _make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _append(path: Path, line: str) -> None:
    path.write_text(path.read_text() + line)


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("line", ["mohr audit verify", "mohr audit proof a", "mohr audit export {out}", "mohr ca list"])
def test_a_damaged_deployment_is_told_by_a_code(
    line: str, damage: str, live: LiveDeployment, files: dict[str, Path], tmp_path: Path
) -> None:
    home = live.copy_readable(tmp_path / "copy")
    DAMAGE[damage](home)
    ended = _run(f"{line} --home {home}", files)
    if damage.startswith("log-key") and "verify" not in line and "list" not in line:
        assert ended.code in ("", "not-found")
        return
    assert ended.status in (1, 2)
    assert ended.code, ended.messages


@pytest.mark.parametrize("command", ALL_COMMANDS.values(), ids=ALL_COMMANDS)
def test_every_command_explains_itself_with_an_example(command: click.Command) -> None:
    ended = run_here(command, "--help")
    assert ended.status == 0
    assert "Example: mohr" in " ".join(ended.output.split())


def test_every_command_stands_in_a_table() -> None:
    lines = [entry.line for entry in ENTRIES] + [line for line, _code in WRONG_WORDS] + list(NEED_A_DEPLOYMENT)
    elsewhere = {"mohr init"}  # its own tests
    unnamed = {name for name in ALL_COMMANDS if not any(line.startswith(name) for line in lines)}
    assert unnamed == elsewhere


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("webapp", ("verify", "{x}")),
        ("webapp", ("ca", "file", "submit", "{x}", "--officer", "a", "--home", "{home}")),
        ("webapp.gateway_cli", ("verify", "@{x}", "--cert", "{x}", "--cache", "{x}")),
        ("desk", ("sign", "{x}", "--format", "pades")),
    ],
)
def test_a_process_ends_as_the_program_does(
    module: str, words: tuple[str, ...], files: dict[str, Path], tmp_path: Path
) -> None:
    hostile = HOSTILE["unreadable-name"](tmp_path / "hostile", b"")
    ended = run_process(module, *(word.format(x=hostile, home=files["home"]) for word in words))
    assert ended.status in (1, 2, 3), ended.messages
    assert ended.code or ended.output
    assert "Traceback" not in ended.messages


@pytest.mark.parametrize("line", ["mohr", "mohr ca", "mohr-agent", "mohr-gateway"])
def test_a_program_without_a_command_shows_its_help(line: str, files: dict[str, Path]) -> None:
    ended = _run(line, files)
    assert ended.status == 3
    assert "Usage:" in ended.messages
    assert "Commands:" in ended.messages
