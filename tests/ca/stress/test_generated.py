"""Nothing above NOTICE in any certificate that the profiles can make, by our own rules and by pkilint."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import pytest

from ca.errors import LintFailed
from ca.hierarchy import Hierarchy
from tests.ca.conftest import Ceremony
from tests.ca.stress.generator import Case, cases, faults_of
from tests.ca.world import SETTINGS

SAMPLE, MANY, SLICE = 150, 100_000, 500
SEED = 20261122
_given: list[Hierarchy] = []


def _faults_of_slice(start: int) -> list[str]:
    found: list[str] = []
    for case in cases(SEED + start, SLICE):
        found += faults_of(case, _given[0])
    return found


@pytest.mark.parametrize("case", list(cases(SEED, SAMPLE)), ids=lambda case: f"{case.profile}-{case.key}")
def test_a_sample_of_all_profiles_and_keys_is_clean(case: Case, ceremony: Ceremony) -> None:
    assert faults_of(case, ceremony.hierarchy) == []


def test_the_sample_holds_every_profile_with_every_kind_of_key() -> None:
    met = {(case.profile, case.key) for case in cases(SEED, SAMPLE)}
    assert met == {(str(profile.name), key) for profile in SETTINGS.profiles for key in profile.keys}


def test_the_generator_would_see_a_fault(ceremony: Ceremony) -> None:
    case = next(case for case in cases(SEED, SAMPLE) if case.profile == "clin-sign")
    long_notice = replace(case, settings=replace(case.settings, policy_notice="x" * 300))
    with pytest.raises(LintFailed):
        faults_of(long_notice, ceremony.hierarchy)


def _slices() -> Iterator[int]:
    return iter(range(0, MANY, SLICE))


@pytest.mark.stress
def test_a_hundred_thousand_certificates_are_clean(ceremony: Ceremony) -> None:
    _given[:] = [ceremony.hierarchy]
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        faults = [fault for found in pool.map(_faults_of_slice, _slices()) for fault in found]
    assert faults == []
