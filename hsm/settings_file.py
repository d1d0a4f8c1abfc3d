"""Settings files of this package's processes: one JSON object, its members checked by name and kind."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from hsm.errors import ConfigurationInvalid
from pki.errors import InvalidInput
from pki.jose import compact_json, json_object


def read_settings(path: Path, limit: int) -> Mapping[str, Any]:
    """Read a file of at most `limit` octets that holds one JSON object; ConfigurationInvalid."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise ConfigurationInvalid(f"{path.name}: {error.strerror}") from error
    if len(data) > limit:
        raise ConfigurationInvalid(f"{path.name} is larger than {limit} octets")
    try:
        members = json_object(data)
        compact_json(members)
    except InvalidInput as error:
        raise ConfigurationInvalid(f"{path.name}: {error.detail}") from error
    except UnicodeEncodeError as error:  # RFC 8259 §8.2: half of a surrogate pair, which names no file
        raise ConfigurationInvalid(f"{path.name}: a text in it is no Unicode") from error
    return members


def check_members(
    raw: Mapping[str, Any], kinds: Mapping[str, type], *, required: Collection[str] = (), where: str = ""
) -> None:
    """Refuse an object with a member that `kinds` does not name, or of another kind, or without a required one.

    ConfigurationInvalid, which names `where` the object stands.
    """
    place = f"{where}: " if where else ""
    for name, value in raw.items():
        expected = kinds.get(name)
        if expected is None:
            raise ConfigurationInvalid(f"{place}unknown member {name!r}")
        if type(value) is not expected:
            raise ConfigurationInvalid(f"{place}{name} is not a JSON {expected.__name__}")
    if missing := set(required) - raw.keys():
        raise ConfigurationInvalid(f"{place}missing: {', '.join(sorted(missing))}")
