"""The pilot registry of centres, kept in one JSON file (`HOME/registry/centres.json`).

    {"format": "mohr-centre-registry/1", "source": …, "complete": true, "as_of": …,
     "centres": [{"siam_id": …, "name": …, "kind": "clinic", "legal_id": …, "province": …, "city": …,
                  "operating_licence": LIGHT, "siam": LIGHT, "systems": {SYSTEM_ID: LIGHT}}]}

LIGHT is {"state": "ok" | "failed" | "silent", "reference": …, "valid_until": RFC 3339}; `as_of` and the last
two are optional. A file that is missing, unreadable or malformed is silent about everyone.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from ca.registries.watched_file import WatchedFile
from ca.tokens.lights import Answer
from ca.tokens.registry import Attestation, RegisteredCentre, RegistryReport, Snapshot, is_system_id
from pki.errors import ErrorCode, InvalidInput
from pki.identity import CentreIdentity, SiamId, parse_legal_id, parse_name, parse_siam_id
from pki.identity_scheme import IdentityScheme
from pki.instants import format_instant, parse_instant
from pki.jose import json_object

FORMAT: Final = "mohr-centre-registry/1"
MAX_OCTETS: Final = 16 * 1024 * 1024
MAX_CENTRES: Final = 20_000
MAX_SYSTEMS: Final = 64
MAX_TEXT: Final = 128
_SOURCE: Final = "pilot-registry"


class FileRegistry:
    """The registry in the file at `path`, read again whenever the file changes. Threads may share it."""

    def __init__(self, path: Path, scheme: IdentityScheme) -> None:
        self._file = WatchedFile(path, lambda data: parse_registry(data, scheme), MAX_OCTETS)

    def ask(self, siam_id: SiamId, system_id: str, now: datetime) -> RegistryReport:
        """Return the file's answers; silence when it cannot be read."""
        snapshot = self._file.current()
        return RegistryReport.silence(_SOURCE, now) if snapshot is None else snapshot.report(siam_id, system_id, now)


def _refuse(what: str) -> InvalidInput:
    return InvalidInput(ErrorCode.INPUT_MALFORMED, f"centre registry: {what}")


def parse_registry(data: bytes, scheme: IdentityScheme) -> Snapshot:
    """Read a registry file; InvalidInput says what is wrong without repeating a value."""
    if len(data) > MAX_OCTETS:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, "centre registry larger than 16 MiB")
    members = _members(json_object(data), {"format", "source", "complete", "centres"}, {"as_of"})
    entries = members["centres"]
    if members["format"] != FORMAT or not isinstance(members["complete"], bool):
        raise _refuse("unknown format, or `complete` is not true or false")
    if not isinstance(entries, list) or len(entries) > MAX_CENTRES:
        raise _refuse(f"`centres` is a list of at most {MAX_CENTRES}")
    centres = {centre.identity.siam_id: centre for centre in (_centre(entry, scheme) for entry in entries)}
    if len(centres) != len(entries):
        raise _refuse("a SIAM id appears twice")
    return Snapshot(
        source=_text(members, "source"),
        complete=members["complete"],
        centres=centres,
        as_of=_instant(members, "as_of"),
    )


def _centre(entry: object, scheme: IdentityScheme) -> RegisteredCentre:
    names = {"siam_id", "name", "kind", "legal_id", "province", "city"}
    members = _members(entry, names | {"operating_licence", "siam", "systems"}, set())
    kind, systems = _text(members, "kind"), members["systems"]
    if kind not in scheme.institutions:
        raise _refuse(f"`kind` is one of {', '.join(scheme.institutions)}")
    if not isinstance(systems, dict) or len(systems) > MAX_SYSTEMS or not all(map(is_system_id, systems)):
        raise _refuse(f"`systems` has at most {MAX_SYSTEMS} members, named by system ids")
    identity = CentreIdentity(
        siam_id=parse_siam_id(_text(members, "siam_id")),
        name=parse_name(_text(members, "name")),
        kind=kind,
        legal_id=parse_legal_id(_text(members, "legal_id")),
        province=parse_name(_text(members, "province")),
        city=parse_name(_text(members, "city")),
    )
    return RegisteredCentre(
        identity=identity,
        operating_licence=_light(members["operating_licence"]),
        siam=_light(members["siam"]),
        systems={name: _light(light) for name, light in systems.items()},
    )


def _light(value: object) -> Attestation:
    members = _members(value, {"state"}, {"reference", "valid_until"})
    try:
        state = Answer(_text(members, "state"))
    except ValueError as error:
        raise _refuse("`state` is ok, failed or silent") from error
    reference = _text(members, "reference") if "reference" in members else ""
    return Attestation(state=state, reference=reference, valid_until=_instant(members, "valid_until"))


def _members(value: object, required: set[str], optional: set[str]) -> Mapping[str, Any]:
    if not isinstance(value, dict) or not required <= value.keys() <= required | optional:
        raise _refuse("a member is missing or unknown")
    return value


def _text(members: Mapping[str, Any], name: str) -> str:
    value = members[name]
    # The zero-width non-joiner is spelling in Persian, though not "printable".
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT or not value.replace("\u200c", "").isprintable():
        raise _refuse(f"`{name}` is not a text of 1 to {MAX_TEXT} printable characters")
    return value


def _instant(members: Mapping[str, Any], name: str) -> datetime | None:
    return parse_instant(_text(members, name)) if name in members else None


def registry_json(snapshot: Snapshot) -> bytes:
    """Write a snapshot as `parse_registry` reads it, for people to edit."""
    members: dict[str, Any] = {"format": FORMAT, "source": snapshot.source, "complete": snapshot.complete}
    if snapshot.as_of is not None:
        members["as_of"] = format_instant(snapshot.as_of)
    members["centres"] = [_centre_members(centre) for centre in snapshot.centres.values()]
    return json.dumps(members, ensure_ascii=False, indent=1).encode() + b"\n"


def _centre_members(centre: RegisteredCentre) -> dict[str, Any]:
    identity = centre.identity
    return {
        "siam_id": identity.siam_id,
        "name": identity.name,
        "kind": identity.kind,
        "legal_id": identity.legal_id,
        "province": identity.province,
        "city": identity.city,
        "operating_licence": _light_members(centre.operating_licence),
        "siam": _light_members(centre.siam),
        "systems": {name: _light_members(light) for name, light in centre.systems.items()},
    }


def _light_members(light: Attestation) -> dict[str, str]:
    found = {"state": str(light.state)}
    if light.reference:
        found["reference"] = light.reference
    if light.valid_until is not None:
        found["valid_until"] = format_instant(light.valid_until)
    return found


def default_centres(now: datetime) -> Snapshot:
    """Return the synthetic centres of a new pilot, their licences valid for a year from `now`."""
    year = now + timedelta(days=365)
    rows = (
        ("pilot-clinic-1", "درمانگاه آزمایشی مهر", "clinic", "99000001012", "تهران", "تهران"),
        ("pilot-pharmacy-1", "داروخانهٔ آزمایشی سپیدار", "pharmacy", "99000002028", "فارس", "شیراز"),
        ("pilot-hospital-1", "بیمارستان آزمایشی البرز", "hospital", "99000003033", "البرز", "کرج"),
    )
    centres = [
        RegisteredCentre(
            identity=CentreIdentity(
                siam_id=parse_siam_id(siam_id),
                name=parse_name(name),
                kind=kind,
                legal_id=parse_legal_id(legal_id),
                province=parse_name(province),
                city=parse_name(city),
            ),
            operating_licence=Attestation(state=Answer.OK, reference=f"licence-{number}", valid_until=year),
            siam=Attestation(state=Answer.OK, reference=f"siam-{number}"),
            systems={
                f"his-demo-{number}": Attestation(state=Answer.OK, reference=f"system-{number}", valid_until=year)
            },
        )
        for number, (siam_id, name, kind, legal_id, province, city) in enumerate(rows, 1)
    ]
    by_id = {centre.identity.siam_id: centre for centre in centres}
    return Snapshot(source="pilot registry", complete=True, centres=by_id)
