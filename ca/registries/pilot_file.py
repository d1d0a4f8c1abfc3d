"""The pilot's registries, each a JSON file of `HOME/registry` that people edit.

    council.json   {"format": "mohr-council-registry/1", "complete": true, "as_of": …, "members":
                    [{"national_code", "profession", "council_number", "given_name", "surname", LIGHT}]}
    civil.json     {"format": "mohr-civil-registry/1", …, "persons":
                    [{"national_code", "given_name", "surname", LIGHT}]}
    licences.json  {"format": "mohr-licence-registry/1", …, "centres":
                    [{"siam_id", "name", "centre_kind", "legal_id", "province", "city",
                      "siam": {LIGHT}, "licence": {LIGHT}}]}

LIGHT is "state": "ok" | "failed" | "silent", with "reference" and "valid_until" (RFC 3339) where there are any. Who is
not in a file is denied only by one that is `complete`. A file that is missing, unreadable or malformed is silent about
everyone. Names are compared without spaces and zero-width non-joiners: how a name is spaced is no difference.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Generic, TypeVar

from ca.registries.answers import Claim, Denial, No, RegistryWord, Silence, Silent, Source, Yes
from ca.registries.asking import MAX_REFERENCE
from ca.registries.ports import CivilRegistry, CouncilRegistry, LicenceRegistry, Registries, SiamRegistry
from ca.registries.watched_file import WatchedFile
from ca.strict_members import StrictMembers
from ca.tokens.lights import Answer
from pki.errors import ErrorCode, InvalidInput
from pki.identity import (
    CentreIdentity,
    ClinicianIdentity,
    NationalCode,
    PersonIdentity,
    SiamId,
    parse_legal_id,
    parse_name,
    parse_national_code,
    parse_siam_id,
)
from pki.identity_scheme import IdentityScheme
from pki.jose import json_object

MAX_OCTETS: Final = 64 * 1024 * 1024
MAX_ENTRIES: Final = 500_000
_SPACING: Final = str.maketrans("", "", " \u200c")

_Key = TypeVar("_Key", bound=Hashable)
_Entry = TypeVar("_Entry")


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """What a registry records of one right."""

    state: Answer
    reference: str = ""
    valid_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One person of the civil registry."""

    identity: PersonIdentity
    light: Light


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One membership of a professional council; a person may have several."""

    identity: ClinicianIdentity
    light: Light


@dataclass(frozen=True, slots=True, kw_only=True)
class Centre:
    """One centre, with its registration in SIAM and its operating licence."""

    identity: CentreIdentity
    siam: Light
    licence: Light


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot(Generic[_Key, _Entry]):
    """Everything that one file says. `as_of` is None when it is as new as its reading."""

    complete: bool
    as_of: datetime | None
    entries: Mapping[_Key, tuple[_Entry, ...]]

    def find(self, source: Source, key: _Key, now: datetime) -> tuple[_Entry, ...] | No | Silent:
        """Return the entries of a key, or the word that there are none."""
        found = self.entries.get(key, ())
        if found:
            return found
        if self.complete:
            return No(source=source, at=self.as_of or now, why=Denial.NOT_FOUND)
        return Silent(source=source, at=now, why=Silence.UNKNOWN)


def _read_light(members: StrictMembers) -> Light:
    try:
        state = Answer(members.text("state"))
    except ValueError as error:
        raise members.refusal("state is ok, failed or silent") from error
    reference = members.text("reference", "")
    if len(reference) > MAX_REFERENCE or not reference.isprintable():
        raise members.refusal(f"reference has at most {MAX_REFERENCE} printable characters")
    return Light(state=state, reference=reference, valid_until=members.instant("valid_until"))


def _read_person(members: StrictMembers) -> PersonIdentity:
    return PersonIdentity(
        national_code=parse_national_code(members.text("national_code")),
        given_name=parse_name(members.text("given_name")),
        surname=parse_name(members.text("surname")),
    )


def _read_civil(members: StrictMembers, _scheme: IdentityScheme) -> tuple[NationalCode, Person]:
    person = _read_person(members)
    return person.national_code, Person(identity=person, light=_read_light(members))


def _read_member(members: StrictMembers, scheme: IdentityScheme) -> tuple[NationalCode, Member]:
    profession = members.text("profession")
    if profession not in scheme.professions:
        raise members.refusal(f"profession is one of {', '.join(scheme.professions)}")
    person = _read_person(members)
    identity = ClinicianIdentity(
        national_code=person.national_code,
        given_name=person.given_name,
        surname=person.surname,
        profession=profession,
        council_number=scheme.council_number(members.text("council_number"), profession),
    )
    return person.national_code, Member(identity=identity, light=_read_light(members))


def _read_centre(members: StrictMembers, scheme: IdentityScheme) -> tuple[SiamId, Centre]:
    kind = members.text("centre_kind")
    if kind not in scheme.institutions:
        raise members.refusal(f"centre_kind is one of {', '.join(scheme.institutions)}")
    identity = CentreIdentity(
        siam_id=parse_siam_id(members.text("siam_id")),
        name=parse_name(members.text("name")),
        kind=kind,
        legal_id=parse_legal_id(members.text("legal_id")),
        province=parse_name(members.text("province")),
        city=parse_name(members.text("city")),
    )
    lights = []
    for name in ("siam", "licence"):
        inner = StrictMembers(name, members.take(name))
        lights.append(_read_light(inner))
        inner.end()
    return identity.siam_id, Centre(identity=identity, siam=lights[0], licence=lights[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form(Generic[_Key, _Entry]):
    """One of the three files: its format, the list in it, how an entry is read and what names it once."""

    format: str
    name: str
    read: Callable[[StrictMembers, IdentityScheme], tuple[_Key, _Entry]]
    unique: Callable[[_Entry], Hashable]

    def parse(self, data: bytes, scheme: IdentityScheme) -> Snapshot[_Key, _Entry]:
        """Read a file; InvalidInput says what is wrong without repeating a value."""
        if len(data) > MAX_OCTETS:
            raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, f"{self.format}: larger than 64 MiB")
        members = StrictMembers(self.format, json_object(data))
        if members.text("format") != self.format:
            raise members.refusal("the format is another")
        complete, as_of = members.flag("complete"), members.instant("as_of")
        found: dict[_Key, tuple[_Entry, ...]] = {}
        seen: set[Hashable] = set()
        for item in members.items(self.name, MAX_ENTRIES):
            inner = StrictMembers(self.format, item)
            key, entry = self.read(inner, scheme)
            inner.end()
            if (unique := self.unique(entry)) in seen:
                raise members.refusal("an entry appears twice")
            seen.add(unique)
            found[key] = (*found.get(key, ()), entry)
        members.end()
        return Snapshot(complete=complete, as_of=as_of, entries=found)


COUNCIL: Final[_Form[NationalCode, Member]] = _Form(
    format="mohr-council-registry/1",
    name="members",
    read=_read_member,
    unique=lambda member: (member.identity.profession, member.identity.council_number),
)
CIVIL: Final[_Form[NationalCode, Person]] = _Form(
    format="mohr-civil-registry/1",
    name="persons",
    read=_read_civil,
    unique=lambda person: person.identity.national_code,
)
LICENCES: Final[_Form[SiamId, Centre]] = _Form(
    format="mohr-licence-registry/1",
    name="centres",
    read=_read_centre,
    unique=lambda centre: centre.identity.siam_id,
)


def _fold(name: str) -> str:
    return name.translate(_SPACING)


def _person_differs(claimed: PersonIdentity, known: PersonIdentity) -> tuple[Claim, ...]:
    pairs = {
        Claim.GIVEN_NAME: (claimed.given_name, known.given_name),
        Claim.SURNAME: (claimed.surname, known.surname),
    }
    return tuple(claim for claim, (one, other) in pairs.items() if _fold(one) != _fold(other))


def _clinician_differs(claimed: ClinicianIdentity, known: ClinicianIdentity) -> tuple[Claim, ...]:
    found = _person_differs(claimed, known)
    if claimed.profession != known.profession:
        found += (Claim.PROFESSION,)
    return found if claimed.council_number == known.council_number else (*found, Claim.COUNCIL_NUMBER)


def _centre_differs(claimed: CentreIdentity, known: CentreIdentity) -> tuple[Claim, ...]:
    pairs = {
        Claim.NAME: (_fold(claimed.name), _fold(known.name)),
        Claim.CENTRE_KIND: (claimed.kind, known.kind),
        Claim.LEGAL_ID: (claimed.legal_id, known.legal_id),
        Claim.PROVINCE: (_fold(claimed.province), _fold(known.province)),
        Claim.CITY: (_fold(claimed.city), _fold(known.city)),
    }
    return tuple(claim for claim, (one, other) in pairs.items() if one != other)


def _word(source: Source, differs: tuple[Claim, ...], light: Light, at: datetime, now: datetime) -> RegistryWord:
    if light.state is Answer.SILENT:
        return Silent(source=source, at=now, why=Silence.UNKNOWN)
    if light.state is Answer.OK and not differs:
        return Yes(source=source, at=at, reference=light.reference, valid_until=light.valid_until)
    why = Denial.DIFFERS if differs else Denial.REVOKED
    return No(source=source, at=at, why=why, reference=light.reference, differs=differs)


class _FileOf(Generic[_Key, _Entry]):
    """One file, asked by key."""

    def __init__(self, form: _Form[_Key, _Entry], path: Path, scheme: IdentityScheme) -> None:
        self._file = WatchedFile(path, lambda data: form.parse(data, scheme), MAX_OCTETS)

    def answer(
        self,
        source: Source,
        key: _Key,
        now: datetime,
        hold_against: Callable[[_Entry], tuple[tuple[Claim, ...], Light]],
    ) -> RegistryWord:
        """Answer by the entry that the claims fit best."""
        snapshot = self._file.current()
        if snapshot is None:
            return Silent(source=source, at=now, why=Silence.UNREADABLE)
        found = snapshot.find(source, key, now)
        if not isinstance(found, tuple):
            return found
        differs, light = min(map(hold_against, found), key=lambda pair: len(pair[0]))
        return _word(source, differs, light, snapshot.as_of or now, now)


class CouncilFile:
    """The professional councils in one file."""

    def __init__(self, path: Path, scheme: IdentityScheme) -> None:
        self._file = _FileOf(COUNCIL, path, scheme)

    def ask(self, clinician: ClinicianIdentity, now: datetime) -> RegistryWord:
        """Say whether number, profession and name belong together."""
        return self._file.answer(
            Source.COUNCIL,
            clinician.national_code,
            now,
            lambda known: (_clinician_differs(clinician, known.identity), known.light),
        )


class CivilFile:
    """The civil registry in one file."""

    def __init__(self, path: Path, scheme: IdentityScheme) -> None:
        self._file = _FileOf(CIVIL, path, scheme)

    def ask(self, person: PersonIdentity, now: datetime) -> RegistryWord:
        """Say whether national code and name belong together."""
        return self._file.answer(
            Source.CIVIL,
            person.national_code,
            now,
            lambda known: (_person_differs(person, known.identity), known.light),
        )


class SiamFile:
    """What the file of licences knows of centres."""

    def __init__(self, file: _FileOf[SiamId, Centre]) -> None:
        self._file = file

    def ask(self, centre: CentreIdentity, now: datetime) -> RegistryWord:
        """Say whether SIAM id, name, kind, legal entity and place belong together."""
        return self._file.answer(
            Source.SIAM, centre.siam_id, now, lambda known: (_centre_differs(centre, known.identity), known.siam)
        )


class LicenceFile:
    """What the file of licences knows of operating licences."""

    def __init__(self, file: _FileOf[SiamId, Centre]) -> None:
        self._file = file

    def ask(self, siam_id: SiamId, now: datetime) -> RegistryWord:
        """Say whether the centre's licence is in force."""
        return self._file.answer(Source.LICENCE, siam_id, now, lambda known: ((), known.licence))


def pilot_registries(folder: Path, scheme: IdentityScheme) -> Registries:
    """Return the registries whose files are in `folder` now; a file that vanishes later is silent."""
    council: CouncilRegistry | None = None
    civil: CivilRegistry | None = None
    siam: SiamRegistry | None = None
    licence: LicenceRegistry | None = None
    if (path := folder / "council.json").exists():
        council = CouncilFile(path, scheme)
    if (path := folder / "civil.json").exists():
        civil = CivilFile(path, scheme)
    if (path := folder / "licences.json").exists():
        file = _FileOf(LICENCES, path, scheme)
        siam, licence = SiamFile(file), LicenceFile(file)
    return Registries(council=council, civil=civil, siam=siam, licence=licence)
