from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from ca.ceremony.grammar import GRAMMAR
from tests.support.programs import run_here
from webapp.cli import mohr
from webapp.commands.ceremony import login_name

PROGRAM = """
from webapp.commands.ceremony_console import Terminal
terminal = Terminal(on_screen=True)
terminal.say("begin")
terminal.show_secret("SHARE-ON-SCREEN")
typed = terminal.ask_secret("secret")
terminal.clear()
name = terminal.ask("name")
assert terminal.confirm("go on?")
terminal.say(f"{len(typed)} {name} end")
"""


@pytest.mark.real
def test_a_terminal_echoes_no_secret_and_keeps_none_in_what_can_be_scrolled() -> None:
    leader, follower = pty.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM], stdin=follower, stdout=follower, stderr=follower
        ) as shown:
            os.close(follower)
            seen = b""
            for asked, answer in ((b"secret: ", b"TYPED-SECRET\n"), (b"name: ", b"zahra\n"), (b"no]: ", b"yes\n")):
                while not seen.endswith(asked):
                    seen += os.read(leader, 4096)
                os.write(leader, answer)
            while b" end" not in seen:
                seen += os.read(leader, 4096)
            assert shown.wait(30) == 0
    finally:
        os.close(leader)
    assert b"TYPED-SECRET" not in seen
    assert b"12 zahra end" in seen
    before, _, rest = seen.partition(b"\x1b[?1049h")
    apart, _, after = rest.partition(b"\x1b[?1049l")
    assert b"SHARE-ON-SCREEN" in apart
    assert b"SHARE-ON-SCREEN" not in before + after


@pytest.mark.parametrize("words", [(), ("a.toml", "--verify", "b")])
def test_a_script_or_a_transcript_is_named(words: tuple[str, ...], tmp_path: Path) -> None:
    ended = run_here(mohr, "hsm", "ceremony", *words, "--home", str(tmp_path))
    assert (ended.status, ended.code) == (3, "usage")


def test_files_that_are_not_there_are_said_to(tmp_path: Path) -> None:
    for words in ((str(tmp_path / "none.toml"), "--rehearsal"), ("--verify", str(tmp_path / "none"))):
        ended = run_here(mohr, "hsm", "ceremony", *words, "--home", str(tmp_path))
        assert ended.code == "file-unreadable", ended.messages


def test_the_manual_explains_every_step_and_member() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "ceremonies" / "README.md").read_text()
    rows = {line.split("`")[1]: line for line in manual.splitlines() if line.startswith("| `")}
    for do, form in GRAMMAR.items():
        for member in (*form.required, *form.optional):
            assert f"`{member}`" in rows[do], (do, member)


def test_a_user_without_an_entry_holds_a_ceremony_under_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> NoReturn:
        raise KeyError(uid)

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    assert login_name() == f"user {os.getuid()}"
