"""OpenSSL's command line as an independent judge."""

import shutil
import subprocess
from pathlib import Path

import pytest


def openssl(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run `openssl` and return what it said; skips where it is missing."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl is not installed")
    command = [program, *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
