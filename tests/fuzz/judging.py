"""One input to one reader: an answer, the reader's own refusal, or a fault, which is kept as a file."""

import hashlib
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.fuzz.targets import Target

MAX_CPU_SECONDS: Final = 2.0
"""For an input of the size that fuzzing makes, a few hundred KiB at most: far below what a file may take."""
_REPEAT: Final = 16
"""Every which input is read twice."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What a reader must not do: `name` is the same for the same place in the code."""

    name: str
    text: str


def outcome(target: Target, data: bytes) -> tuple[str, object]:
    """Return what the reader says of `data`, or its own refusal; anything else that it raises comes through."""
    try:
        return "read", target.read(data)
    except target.raises as error:
        return "refused", (type(error), str(error))


def fault_of(target: Target, data: bytes, number: int = 0) -> Fault | None:
    """Have `data` read and say what is wrong with that; None where nothing is. Every few `number`s it is read twice."""
    started = time.process_time()
    try:
        first = outcome(target, data)
    except Exception as error:  # noqa: BLE001 - that nothing but a reader's own errors leaves it is what is tried
        return _raised(error)
    spent = time.process_time() - started
    if spent > MAX_CPU_SECONDS:
        return Fault("slow", f"{spent:.1f} s of CPU for {len(data)} octets")
    if number % _REPEAT == 0 and not _same(first, outcome(target, data)):
        return Fault("differs", f"the second reading is another: {first[0]}")
    return None


def _raised(error: Exception) -> Fault:
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    place = "|".join(f"{Path(one.filename).name}:{one.name}" for one in frames)
    digest = hashlib.sha256(f"{type(error).__name__}|{place}".encode()).hexdigest()[:8]
    return Fault(f"{type(error).__name__}-{digest}", "".join(traceback.format_exception(error)))


def _same(one: tuple[str, object], other: tuple[str, object]) -> bool:
    if one[0] != other[0]:
        return False
    comparable = isinstance(one[1], (str, bytes, int, list, tuple, dict, type(None)))
    return not comparable or repr(one[1]) == repr(other[1]) or one[1] == other[1]


def keep(folder: Path, name: str, data: bytes, fault: Fault) -> bool:
    """Write an input and its fault into `folder`; False where one of that name is there already."""
    file = folder / f"{name}-{fault.name}.bin"
    if file.exists():
        return False
    folder.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    file.with_suffix(".txt").write_text(fault.text, errors="backslashreplace")
    return True
