from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.registries.answers import Claim, Denial, No, Silence, Silent, Yes
from ca.registries.pilot_file import (
    CIVIL,
    COUNCIL,
    LICENCES,
    CivilFile,
    CouncilFile,
    pilot_registries,
)
from pki.errors import InvalidInput, ServiceError
from pki.identity_file import pilot_identities
from pki.identity_scheme import IdentityScheme
from tests.ca.registries.world import (
    LICENSED,
    MEMBER,
    PERSON,
    centre,
    civil,
    clinician,
    council,
    licences,
    person,
    write,
)
from tests.ca.world import START, file_json

UNTIL = START + timedelta(days=1)
SCHEME = pilot_identities()


def test_a_registry_confirms_what_it_has_with_its_own_number_and_end(tmp_path: Path) -> None:
    entry = {**MEMBER, "reference": "c-7", "valid_until": "2026-11-23T09:00:00Z"}
    word = CouncilFile(write(tmp_path / "council.json", council(entry)), SCHEME).ask(clinician(), START)
    assert isinstance(word, Yes)
    assert (word.reference, word.valid_until, word.at) == ("c-7", UNTIL, START)


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"surname": "رضوی"}, (Claim.SURNAME,)),
        ({"given_name": "عباس"}, (Claim.GIVEN_NAME,)),
        ({"council_number": "12346"}, (Claim.COUNCIL_NUMBER,)),
        ({"profession": "dentist"}, (Claim.PROFESSION,)),
        ({"profession": "dentist", "surname": "رضوی"}, (Claim.SURNAME, Claim.PROFESSION)),
    ],
    ids="-".join,
)
def test_a_no_names_the_claim_that_differs_and_never_its_value(
    tmp_path: Path, change: dict[str, str], differs: tuple[Claim, ...]
) -> None:
    word = CouncilFile(write(tmp_path / "council.json", council({**MEMBER, **change})), SCHEME).ask(clinician(), START)
    assert isinstance(word, No)
    assert (word.why, word.differs) == (Denial.DIFFERS, differs)
    assert not any(value in repr(word) for value in (*change.values(), "رضایی", "0000012343"))


def test_of_several_memberships_the_one_that_fits_best_answers(tmp_path: Path) -> None:
    other = {**MEMBER, "profession": "nurse", "council_number": "4567", "state": "failed"}
    registry = CouncilFile(write(tmp_path / "council.json", council(other, MEMBER)), SCHEME)
    assert isinstance(registry.ask(clinician(), START), Yes)
    revoked = registry.ask(clinician(profession="nurse", council_number="4567"), START)
    assert isinstance(revoked, No)
    assert revoked.why is Denial.REVOKED


def test_how_a_name_is_spaced_is_no_difference(tmp_path: Path) -> None:
    registry = CivilFile(write(tmp_path / "civil.json", civil({**PERSON, "surname": "احمدی نژاد"})), SCHEME)
    assert isinstance(registry.ask(person(surname="احمدی‌نژاد"), START), Yes)


def test_who_is_missing_is_denied_by_a_complete_registry_alone(tmp_path: Path) -> None:
    whole = CivilFile(write(tmp_path / "whole.json", civil()), SCHEME)
    part = CivilFile(write(tmp_path / "part.json", civil(complete=False)), SCHEME)
    denied, silent = whole.ask(person(), START), part.ask(person(), START)
    assert isinstance(denied, No)
    assert denied.why is Denial.NOT_FOUND
    assert isinstance(silent, Silent)
    assert silent.why is Silence.UNKNOWN


def test_a_registry_may_say_that_it_does_not_know(tmp_path: Path) -> None:
    registry = CivilFile(write(tmp_path / "civil.json", civil({**PERSON, "state": "silent"})), SCHEME)
    assert isinstance(registry.ask(person(), START), Silent)


def test_the_age_of_the_knowledge_is_the_files(tmp_path: Path) -> None:
    registry = CivilFile(write(tmp_path / "civil.json", civil(PERSON, as_of="2026-11-01T00:00:00Z")), SCHEME)
    word = registry.ask(person(), START)
    assert isinstance(word, Yes)
    assert word.at.day == 1


def test_siam_and_licence_are_two_words_of_one_file(tmp_path: Path) -> None:
    lapsed = {"state": "failed", "reference": "l-1"}
    write(tmp_path / "licences.json", licences({**LICENSED, "licence": lapsed, "city": "ری"}))
    found = pilot_registries(tmp_path, SCHEME)
    assert found.siam is not None
    assert found.licence is not None
    siam, licence = found.siam.ask(centre(), START), found.licence.ask(centre().siam_id, START)
    assert isinstance(siam, No)
    assert siam.differs == (Claim.CITY,)
    assert isinstance(licence, No)
    assert (licence.why, licence.reference) == (Denial.REVOKED, "l-1")


def test_a_deployment_has_the_registries_whose_files_are_there(tmp_path: Path) -> None:
    assert not pilot_registries(tmp_path, SCHEME).questions(clinician(), START)
    write(tmp_path / "civil.json", civil())
    write(tmp_path / "council.json", council())
    write(tmp_path / "licences.json", licences())
    found = pilot_registries(tmp_path, SCHEME)
    assert set(found.questions(clinician(), START)) == {"civil", "council"}
    assert set(found.questions(person(), START)) == {"civil"}
    assert set(found.questions(centre(), START)) == {"siam", "licence"}
    assert not found.questions("a system", START)


def test_a_file_that_vanishes_or_breaks_is_silent_and_speaks_again_when_mended(tmp_path: Path) -> None:
    path = write(tmp_path / "civil.json", civil())
    registry = CivilFile(path, SCHEME)
    assert isinstance(registry.ask(person(), START), No)
    path.unlink()
    for broken in (None, b"{", file_json(council()), file_json(civil({**PERSON, "national_code": "1"}))):
        if broken is not None:
            path.write_bytes(broken)
        word = registry.ask(person(), START)
        assert isinstance(word, Silent)
        assert word.why is Silence.UNREADABLE
    path.unlink()
    write(path, civil(PERSON))
    assert isinstance(registry.ask(person(), START), Yes)


BAD: list[tuple[Callable[[bytes, IdentityScheme], object], dict[str, Any]]] = [
    (COUNCIL.parse, council(format="mohr-council-registry/2")),
    (COUNCIL.parse, council(complete="yes")),
    (COUNCIL.parse, council(source="x")),
    (COUNCIL.parse, council(as_of="today")),
    (COUNCIL.parse, council(MEMBER, MEMBER)),
    (COUNCIL.parse, council({**MEMBER, "profession": "healer"})),
    (COUNCIL.parse, council({**MEMBER, "state": "no"})),
    (COUNCIL.parse, council({**MEMBER, "reference": "x" * 129})),
    (COUNCIL.parse, council({**MEMBER, "note": ""})),
    (COUNCIL.parse, council(members="none")),
    (COUNCIL.parse, council("none")),  # type: ignore[arg-type]
    (CIVIL.parse, civil({**PERSON, "national_code": "0000012344"})),
    (CIVIL.parse, civil({**PERSON, "valid_until": 7})),
    (LICENCES.parse, licences({**LICENSED, "legal_id": "11234567891"})),
    (LICENCES.parse, licences({**LICENSED, "siam": "ok"})),
    (LICENCES.parse, licences({**LICENSED, "centre_kind": "shop"})),
    (LICENCES.parse, licences({**LICENSED, "licence": {"state": "ok", "by": "x"}})),
]


@pytest.mark.parametrize(("parse", "members"), BAD)
def test_a_registry_file_is_read_strictly(
    parse: Callable[[bytes, IdentityScheme], object], members: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(file_json(members), SCHEME)
    assert "0000012343" not in str(caught.value)


@given(data=st.binary(max_size=200), form=st.sampled_from([COUNCIL, CIVIL, LICENCES]))
def test_any_octets_are_a_snapshot_or_refused(data: bytes, form: Any) -> None:
    with pytest.raises(ServiceError):
        form.parse(data, SCHEME)


@given(end=st.integers(min_value=0))
def test_half_a_file_is_refused(end: int) -> None:
    data = json.dumps(civil(PERSON), ensure_ascii=False).encode()
    with pytest.raises(ServiceError):
        CIVIL.parse(data[: end % len(data)], SCHEME)
