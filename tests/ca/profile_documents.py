"""Profile files as tests write them: the pilot's, others beside it, and one with a change."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ca.profile_file import pilot_profiles, profile_members

PILOT = pilot_profiles()
KIOSK = {
    "version": 1,
    "status": "experimental",
    "holder": "system",
    "issuer": "systems",
    "type": [4, 9],
    "key_usage": ["digitalSignature"],
    "extended_key_usage": ["serverAuth", "clientAuth"],
    "keys": ["P-256"],
    "validity_days": 90,
    "alternative_name": True,
}


def toml(value: Any) -> str:
    """Write a value: JSON's scalars and lists are TOML's."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {toml(member)}" for name, member in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def document(tables: Mapping[str, dict[str, Any]], **top: Any) -> bytes:
    """Write a set."""
    head = {"format": "mohr-profiles/1", "name": "a deployer's", **top}
    lines = [f"{name} = {toml(value)}" for name, value in head.items() if value is not None]
    for name, members in tables.items():
        lines.append(f"[profiles.{json.dumps(name)}]")
        lines += [f"{member} = {toml(value)}" for member, value in members.items()]
    return "\n".join(lines).encode()


def extended(**profiles: dict[str, Any]) -> bytes:
    return document({name.replace("_", "-"): members for name, members in profiles.items()}, extends="pilot")


def pilots(name: str, **changes: Any) -> dict[str, Any]:
    members = profile_members(PILOT.get(name)) | changes
    return {member: value for member, value in members.items() if value is not None}


def with_change(profile: str, **changes: Any) -> bytes:
    return document({profile: pilots(profile, **changes)}, extends="pilot")


def kiosk(**changes: Any) -> bytes:
    return extended(kiosk={member: value for member, value in (KIOSK | changes).items() if value is not None})


def whole(**left_out: bool) -> bytes:
    """Write the pilot's set without extending it."""
    named = {str(p.name): profile_members(p) for p in PILOT if not left_out.get(p.name.replace("-", "_"))}
    return document(named)
