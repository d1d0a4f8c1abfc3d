"""The one web font: Noto Sans Arabic, cut from its package to what the pages write.

The package `fontpkg-noto-sans-arabic` (OFL) holds one variable font of 845 KB; Persian, Latin and the weights
400 to 700 fit into 31 KB of woff2. Nothing of it is kept in the repository: `python -m webapp.fonts` cuts it where Mohr
is installed, else the first that needs it does.
"""

import hashlib
import os
import shutil
import sys
from pathlib import Path
from typing import Any, Final

from signer.fonts import arabic_font

FEATURES: Final = (
    "calt",
    "ccmp",
    "fina",
    "init",
    "isol",
    "kern",
    "liga",
    "mark",
    "medi",
    "mkmk",
    "rlig",
    "locl",
    "rclt",
)
_CHARACTERS: Final = (
    *range(0x20, 0x7F),
    *(ord(char) for char in "\u00a0«»·×–—…‘’“”•"),
    *(ord(char) for char in "،؛؟٪٫٬پچژکگیۀۂةى"),
    *range(0x0621, 0x063B),
    *range(0x0640, 0x0656),
    *range(0x0660, 0x066A),
    *range(0x06F0, 0x06FA),
    0x0670,
    0x200C,
    0x200D,
)
_RECIPE: Final = "1"
INSTALLED: Final = Path(sys.prefix) / "share" / "mohr"


def font_file(cache: Path) -> Path:
    """Return where the cut font of the installed package lies, cut or not."""
    digest = hashlib.sha256(repr((_RECIPE, FEATURES, _CHARACTERS)).encode())
    digest.update(arabic_font().read_bytes())
    return cache / f"font-{digest.hexdigest()[:12]}.woff2"


def cut_font(cache: Path, installed: Path = INSTALLED) -> Path:
    """Put the cut font into `cache` unless it is there already, and return its path; 1 s where none is `installed`."""
    target = font_file(cache)
    if not target.is_file():
        if not cache.is_dir():
            cache.mkdir(parents=True)
            cache.chmod(0o755)
        part, ready = target.with_suffix(f".{os.getpid()}.part"), font_file(installed)
        if ready.is_file():
            shutil.copyfile(ready, part)
        else:
            _cut(arabic_font(), part)
        part.chmod(0o644)  # the server that reads it may be another user, whatever our umask is
        part.replace(target)
    return target


def _cut(source: Path, target: Path) -> None:
    from fontTools.subset import Options, Subsetter
    from fontTools.ttLib import TTFont
    from fontTools.varLib.instancer import instantiateVariableFont

    font: Any = TTFont(source)
    options = Options(layout_features=list(FEATURES), hinting=False, desubroutinize=True, notdef_outline=True)
    subsetter = Subsetter(options)
    subsetter.populate(unicodes=_CHARACTERS)
    # Subset first: the other way round fontTools raises KeyError in gvar.
    subsetter.subset(font)
    font = instantiateVariableFont(font, {"wght": (400, 700), "wdth": 100})
    font.flavor = "woff2"
    font.save(target)


if __name__ == "__main__":
    cut_font(INSTALLED)
