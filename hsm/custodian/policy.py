"""Which role may use which key for what and how often: the custodian's policy file.

A JSON file that only root or the custodian's user may write. Roles and limits name keys by label or, with a
star at the end, by how labels begin; the first that fits counts. What no grant names is refused. Acts are the
kinds of message (`hsm.custodian.purposes.MessageKind`) and `digest`.
"""

import json
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from hsm.custodian.limits import KeyLimits
from hsm.custodian.reading.messages import DIGEST, MessageKind
from hsm.errors import ConfigurationInvalid, HsmUnavailable, RoleRefused
from hsm.private_files import write_private
from hsm.provider import MAX_LABEL_OCTETS
from hsm.settings_file import check_members
from pki.errors import InvalidInput
from pki.instants import format_instant, parse_instant
from pki.jose import json_object
from pki.journal import is_key, is_name

MAX_POLICY_OCTETS: Final = 1024 * 1024
ACTS: Final = frozenset((*(kind.value for kind in MessageKind), DIGEST))
_VERSION: Final = 1
_MAX_NUMBER: Final = 2**40


@dataclass(frozen=True, slots=True)
class KeyNames:
    """Keys by label, or by how their labels begin: `ca-*`."""

    names: tuple[str, ...]
    _exact: frozenset[str] = field(init=False, repr=False, compare=False)
    _beginnings: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in self.names:
            label = name.removesuffix("*")
            if "*" in label or not name or not is_key(label) or len(label) > MAX_LABEL_OCTETS:
                raise ConfigurationInvalid("a key is named by its label, or by a beginning of labels and a star")
        object.__setattr__(self, "_exact", frozenset(name for name in self.names if not name.endswith("*")))
        object.__setattr__(self, "_beginnings", tuple(name[:-1] for name in self.names if name.endswith("*")))

    def __contains__(self, label: str) -> bool:
        return label in self._exact or label.startswith(self._beginnings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Some keys for some acts. `per_second` messages in the long run, `burst` at once; None does not count.

    Each custodian counts for itself.
    """

    keys: KeyNames
    acts: frozenset[str]
    per_second: int | None = None
    burst: int | None = None

    def __post_init__(self) -> None:
        if not self.acts <= ACTS:
            raise ConfigurationInvalid(f"unknown acts: {', '.join(sorted(self.acts - ACTS))}")
        if (self.per_second is None) != (self.burst is None):
            raise ConfigurationInvalid("per_second and burst go together")


@dataclass(frozen=True, slots=True, kw_only=True)
class RolePolicy:
    """A role: the user ids that may speak for it, and what it may do.

    `administer`: make, adopt and bind keys. `journal`: read the journal and release what was taken.
    """

    uids: frozenset[int]
    administer: bool = False
    journal: bool = False
    grants: tuple[Grant, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitedKeys:
    """The limits that some keys share."""

    keys: KeyNames
    limits: KeyLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Everything a policy file says."""

    roles: Mapping[str, RolePolicy]
    limited: tuple[LimitedKeys, ...] = ()

    def __post_init__(self) -> None:
        for name, role in self.roles.items():
            if not is_name(name) or any(uid < 0 for uid in role.uids):
                raise ConfigurationInvalid("a role has a short lower-case name and user ids that are not negative")

    def role(self, name: str) -> RolePolicy:
        """Return the role of this name; RoleRefused."""
        found = self.roles.get(name)
        if found is None:
            raise RoleRefused("the policy knows no such role")
        return found

    def limits(self, label: str) -> KeyLimits:
        """Return the limits of a key: none where the policy states none."""
        for limited in self.limited:
            if label in limited.keys:
                return limited.limits
        return _UNLIMITED

    def grant(self, role: str, label: str, act: str) -> Grant:
        """Return what allows `role` this act with this key; RoleRefused when nothing does."""
        for grant in self.role(role).grants:
            if act in grant.acts and label in grant.keys:
                return grant
        raise RoleRefused(f"the policy does not let this role use this key for: {act}")


_UNLIMITED: Final = KeyLimits()


def permissive(uids: Iterable[int], roles: Iterable[str] = ("server", "worker", "operator")) -> Policy:
    """Return a policy that lets each role do everything: for tests and for tools with a key store of their own."""
    role = RolePolicy(
        uids=frozenset(uids), administer=True, journal=True, grants=(Grant(keys=KeyNames(("*",)), acts=ACTS),)
    )
    return Policy(roles=MappingProxyType(dict.fromkeys(roles, role)))


# --- the file -------------------------------------------------------------------------------------


def load_policy(path: Path) -> Policy:
    """Read a policy file; ConfigurationInvalid says what is wrong with it, or that others may write it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            _check_trusted(path, os.fstat(descriptor))
            data = file.read(MAX_POLICY_OCTETS + 1)
    except OSError as error:
        raise ConfigurationInvalid(f"{path.name}: {error.strerror}") from error
    if len(data) > MAX_POLICY_OCTETS:
        raise ConfigurationInvalid(f"{path.name} is larger than {MAX_POLICY_OCTETS} octets")
    try:
        return _policy(json_object(data))
    except InvalidInput as error:
        raise ConfigurationInvalid(f"{path.name}: {error.detail}") from error


def write_policy(policy: Policy, path: Path) -> None:
    """Write a file that `load_policy` reads back as the same policy; HsmUnavailable."""
    document = {
        "version": _VERSION,
        "roles": {name: _role_json(policy.roles[name]) for name in sorted(policy.roles)},
        "limits": [{"keys": list(limited.keys.names)} | _limits_json(limited.limits) for limited in policy.limited],
    }
    data = json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"
    if len(data) > MAX_POLICY_OCTETS:
        raise HsmUnavailable(f"{path.name} would be larger than {MAX_POLICY_OCTETS} octets")
    write_private(path, data)


def _check_trusted(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode) or status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
        raise ConfigurationInvalid(f"{path.name} must be a file that only root or the custodian's user may write")


def _policy(raw: dict[str, Any]) -> Policy:
    check_members(raw, {"version": int, "roles": dict, "limits": list}, required={"version", "roles"})
    if raw["version"] != _VERSION:
        raise ConfigurationInvalid("unknown version")
    return Policy(
        roles=MappingProxyType({name: _role(_object(role)) for name, role in raw["roles"].items()}),
        limited=tuple(_limited(_object(limited)) for limited in raw.get("limits", [])),
    )


_ROLE_MEMBERS: Final = {"uids": list, "administer": bool, "journal": bool, "grants": list}
_GRANT_MEMBERS: Final = {"keys": list, "acts": list, "per_second": int, "burst": int}


def _role(raw: dict[str, Any]) -> RolePolicy:
    check_members(raw, _ROLE_MEMBERS, required={"uids"})
    return RolePolicy(
        uids=frozenset(_number(uid, "uids") for uid in raw["uids"]),
        administer=raw.get("administer", False),
        journal=raw.get("journal", False),
        grants=tuple(_grant(_object(grant)) for grant in raw.get("grants", [])),
    )


def _role_json(role: RolePolicy) -> dict[str, Any]:
    return {
        "uids": sorted(role.uids),
        "administer": role.administer,
        "journal": role.journal,
        "grants": [
            {"keys": list(grant.keys.names), "acts": sorted(grant.acts)}
            | ({} if grant.per_second is None else {"per_second": grant.per_second, "burst": grant.burst})
            for grant in role.grants
        ],
    }


def _grant(raw: dict[str, Any]) -> Grant:
    check_members(raw, _GRANT_MEMBERS, required={"keys", "acts"})
    counted = {name: _number(raw[name], name, 1) for name in ("per_second", "burst") if name in raw}
    return Grant(keys=_keys(raw), acts=_texts(raw["acts"], "acts"), **counted)


_INSTANTS: Final = frozenset({"not_after"})
_TEXTS: Final = frozenset({"token_issuer"})
_SETS: Final = frozenset({"allowed_extensions", "required_extensions", "allowed_key_purposes", "timestamp_policies"})
_LIMIT_NAMES: Final = tuple(member.name for member in fields(KeyLimits))


def _limited(raw: dict[str, Any]) -> LimitedKeys:
    stated: dict[str, Any] = {}
    for name in raw.keys() - {"keys"}:
        if name not in _LIMIT_NAMES:
            raise ConfigurationInvalid(f"unknown member {name!r}")
        stated[name] = _limit(name, raw[name])
    return LimitedKeys(keys=_keys(raw), limits=KeyLimits(**stated))


def _limit(name: str, value: object) -> object:
    if name in _SETS:
        if not isinstance(value, list):
            raise ConfigurationInvalid(f"{name} is a list")
        return _oids(value, name)
    if name in _TEXTS or name in _INSTANTS:
        if not isinstance(value, str):
            raise ConfigurationInvalid(f"{name} is text")
        return parse_instant(value) if name in _INSTANTS else value
    return _number(value, name)


def _limits_json(limits: KeyLimits) -> dict[str, Any]:
    stated: dict[str, Any] = {}
    for name in _LIMIT_NAMES:
        value = getattr(limits, name)
        if value is None or (value == frozenset() and name == "required_extensions"):
            continue
        if isinstance(value, frozenset):
            value = sorted(value)
        stated[name] = format_instant(value) if isinstance(value, datetime) else value
    return stated


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigurationInvalid("an object is expected")
    return value


def _number(value: object, name: str, least: int = 0) -> int:
    if type(value) is not int or not least <= value <= _MAX_NUMBER:
        raise ConfigurationInvalid(f"{name}: a whole number of at least {least} is expected")
    return value


def _keys(raw: dict[str, Any]) -> KeyNames:
    names = raw.get("keys")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ConfigurationInvalid("keys is a list of labels")
    return KeyNames(tuple(names))


def _texts(values: list[object], name: str) -> frozenset[str]:
    if not all(isinstance(value, str) for value in values):
        raise ConfigurationInvalid(f"{name} holds text only")
    return frozenset(value for value in values if isinstance(value, str))


def _oids(values: list[object], name: str) -> frozenset[str]:
    found = _texts(values, name)
    for text in found:
        arcs = text.split(".")
        if len(arcs) < 2 or not all(arc.isascii() and arc.isdigit() and len(arc) <= 39 for arc in arcs):
            raise ConfigurationInvalid(f"{name} holds object identifiers in dotted form")
    return found
