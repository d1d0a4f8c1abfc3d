"""What import-linter's layers do not say about the inside of this package."""

import ast
from pathlib import Path

import pytest

import cardreader

ROOT = Path(cardreader.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pyscard_enters_in_pcsc_alone_and_the_emulated_card_nowhere(path: Path) -> None:
    folder = path.relative_to(ROOT).parts[0]
    for name in imported(path):
        assert name.split(".")[0] != "smartcard" or folder == "pcsc"
        assert not name.startswith("cardreader.emulated") or folder == "emulated"
        assert not name.startswith("cardreader.pcsc") or folder == "pcsc"
