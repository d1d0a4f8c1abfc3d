"""The pilot's channel to holders: a file for each notice in HOME/outbox, for whoever prints letters or sends SMS.

A file is there whole or not at all, readable by its owner alone. Whoever has told a holder moves the file to
`outbox/told`; a notice that lies there is not written again.
"""

import json
from pathlib import Path
from typing import Final

from ca.notices import Notice
from pki.errors import ErrorCode, Unavailable
from pki.instants import format_instant
from pki.jose import compact_json
from webapp.atomic_files import write_atomically

TOLD: Final = "told"


class Outbox:
    """Satisfies `ca.notices.Notifier`; `codes_of` reads what a holder would, for demonstrations and tests."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def send(self, notice: Notice) -> None:
        """Write a notice, once for each id; Unavailable (`file-unwritable`)."""
        name = f"{notice.id}.json"
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise Unavailable(ErrorCode.FILE_UNWRITABLE, self._folder.name) from error
        if (self._folder / name).exists() or (self._folder / TOLD / name).exists():
            return
        members = {
            "id": notice.id,
            "kind": notice.kind.value,
            "file": notice.file_id,
            "at": format_instant(notice.at),
            **notice.facts,
        }
        write_atomically(self._folder / name, compact_json(members) + b"\n", mode=0o600)

    def codes_of(self, activation: str) -> tuple[str, str]:
        """Return the codes that were sent last for an activation: the letter's and the SMS's; Unavailable."""
        found: dict[str, str] = {}
        name = f"activation-{activation.replace('-', '').lower()}"
        for file in sorted(self._folder.glob(f"{name}-*.json"), key=lambda path: int(path.stem.split("-")[2])):
            members = json.loads(file.read_bytes())
            found[members["channel"]] = members["code"]
        try:
            return found["letter"], found["sms"]
        except KeyError as error:
            raise Unavailable(ErrorCode.FILE_UNREADABLE, "no codes were sent for this activation") from error
