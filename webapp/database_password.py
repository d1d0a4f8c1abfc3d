"""The password in a database's URL: `mohr.toml` anyone may read, so it is kept in a file of its own."""

from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from pki.errors import ErrorCode, InvalidInput, Unavailable


def without_password(url: str) -> tuple[str, str | None]:
    """Split `url` into itself without its password, and the password; InvalidInput for one that is malformed."""
    try:
        parts = urlsplit(url)
        password = parts.password
    except ValueError as error:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "the database URL is malformed") from error
    if password is None:
        return url, None
    user, _, place = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user.partition(':')[0]}@{place}").geturl(), unquote(password)


def with_password(url: str, password: str | None) -> str:
    """Put a password into `url`, which has a user and none yet; without one, `url` as it is."""
    parts = urlsplit(url)
    if password is None or "@" not in parts.netloc or parts.password is not None:
        return url
    user, _, place = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user}:{quote(password, safe='')}@{place}").geturl()


def read_password(path: Path) -> str | None:
    """Read a kept password, None where none is kept; Unavailable for a file that cannot be read."""
    try:
        return path.read_text(encoding="utf-8").rstrip("\n")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable(ErrorCode.FILE_UNREADABLE, path.name) from error
