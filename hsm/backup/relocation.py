"""Settings that name their own home folder by an absolute path, for another home at another site."""

from collections.abc import Mapping
from pathlib import PurePosixPath

from hsm.errors import ConfigurationInvalid
from pki.errors import InvalidInput
from pki.jose import canonical_json, strict_json


def relocated(files: Mapping[str, bytes], names: frozenset[str], home: str, new_home: str) -> dict[str, bytes]:
    """Return `files` with paths under `home` moved under `new_home` in those of `names`: JSON, or lines `a = path`.

    Other paths, such as the module's, stay. ConfigurationInvalid when such a file cannot be read.
    """
    moved = dict(files)
    for name in names & files.keys():
        try:
            if PurePosixPath(name).suffix == ".json":
                moved[name] = canonical_json(_moved(strict_json(files[name]), home, new_home)) + b"\n"
            else:
                lines = files[name].decode().splitlines()
                moved[name] = "".join(f"{_moved_line(line, home, new_home)}\n" for line in lines).encode()
        except (InvalidInput, UnicodeDecodeError) as error:
            raise ConfigurationInvalid(f"{name} cannot be read") from error
    return moved


def _moved(value: object, home: str, new_home: str) -> object:
    if isinstance(value, str):
        return new_home + value[len(home) :] if value == home or value.startswith(f"{home}/") else value
    if isinstance(value, list):
        return [_moved(member, home, new_home) for member in value]
    if isinstance(value, dict):
        return {name: _moved(member, home, new_home) for name, member in value.items()}
    return value


def _moved_line(line: str, home: str, new_home: str) -> str:
    name, equals, value = line.partition(" = ")
    return f"{name}{equals}{_moved(value, home, new_home)}"
