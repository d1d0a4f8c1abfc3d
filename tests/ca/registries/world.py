"""Synthetic registries in files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ca.registration import parse_registration
from pki.identity import CentreIdentity, ClinicianIdentity, PersonIdentity
from pki.identity_file import pilot_identities
from tests.ca.world import CENTRE, CITIZEN, CLINICIAN, file_json

MEMBER: dict[str, Any] = {name: value for name, value in CLINICIAN.items() if name != "kind"} | {"state": "ok"}
PERSON: dict[str, Any] = {name: value for name, value in CITIZEN.items() if name != "kind"} | {"state": "ok"}
LICENSED: dict[str, Any] = {name: value for name, value in CENTRE.items() if name != "kind"} | {
    "siam": {"state": "ok"},
    "licence": {"state": "ok"},
}


def council(*members: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {"format": "mohr-council-registry/1", "complete": True, "members": list(members)} | others


def civil(*persons: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {"format": "mohr-civil-registry/1", "complete": True, "persons": list(persons)} | others


def licences(*centres: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {"format": "mohr-licence-registry/1", "complete": True, "centres": list(centres)} | others


def write(path: Path, members: dict[str, Any]) -> Path:
    path.write_text(json.dumps(members, ensure_ascii=False), encoding="utf-8")
    return path


def clinician(**changes: str) -> ClinicianIdentity:
    identity = parse_registration(file_json({**CLINICIAN, **changes}), pilot_identities()).identity
    assert isinstance(identity, ClinicianIdentity)
    return identity


def person(**changes: str) -> PersonIdentity:
    identity = parse_registration(file_json({**CITIZEN, **changes}), pilot_identities()).identity
    assert isinstance(identity, PersonIdentity)
    return identity


def centre(**changes: str) -> CentreIdentity:
    identity = parse_registration(file_json({**CENTRE, **changes}), pilot_identities()).identity
    assert isinstance(identity, CentreIdentity)
    return identity
