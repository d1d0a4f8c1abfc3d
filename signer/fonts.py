"""The one font for Persian and Latin, as its package installs it (Noto Sans Arabic, OFL; axes `wght` and `wdth`)."""

from pathlib import Path


def arabic_font() -> Path:
    """Return where the variable font lies; ImportError without its package."""
    import fontpkg_noto_sans_arabic as package

    return next(iter(sorted((Path(package.ROOT) / "files").glob("*.ttf"))))
