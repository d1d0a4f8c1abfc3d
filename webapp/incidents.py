"""Where the trace of an unexpected error goes: a file that its owner alone may read, never the screen."""

import tempfile
from pathlib import Path


def keep_trace(incident: str, text: str) -> None:
    """Keep `text` under the incident's number in the folder for temporary files."""
    path = Path(tempfile.gettempdir()) / f"mohr-incident-{incident}.txt"
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(text, encoding="utf-8")
