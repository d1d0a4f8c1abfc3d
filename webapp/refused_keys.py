"""The deployer's list of keys never to be certified: a text file that `mohr.toml` names as `refused_keys_file`."""

import re
from pathlib import Path
from typing import Final

from pki.errors import ErrorCode, InvalidInput, Unavailable

MAX_OCTETS: Final = 32 * 1024 * 1024
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def read_refused_keys(file: Path) -> tuple[str, ...]:
    """Read SHA-256 digests of SubjectPublicKeyInfos, one a line in lower-case hexadecimal; `#` begins a remark.

    InvalidInput names the line that is malformed; Unavailable (`file-unreadable`): a list that is named and cannot
    be read must not pass for an empty one.
    """
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_OCTETS + 1)
    except OSError as error:
        raise Unavailable(ErrorCode.FILE_UNREADABLE, file.name) from error
    if len(data) > MAX_OCTETS:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, f"{file.name} is larger than 32 MiB")
    found = []
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        digest = line.partition("#")[0].strip()
        if digest and not _DIGEST.fullmatch(digest):
            raise InvalidInput(
                ErrorCode.INPUT_MALFORMED, f"{file.name}, line {number}: 64 lower-case hexadecimal digits"
            )
        if digest:
            found.append(digest)
    return tuple(found)
