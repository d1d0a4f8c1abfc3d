"""NIST PKITS: 249 paths with their revocation lists, each answered as the document says, or why not.

Certificates and lists come with the package cryptography-vectors (public domain), expected results from the shared
vectors; the test is skipped where either is missing.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path as FilePath
from typing import Any, Final

import pytest

from pki.certificates import Certificate
from pki.errors import ServiceError
from signer.validation.answers import Good, Revoked
from signer.validation.evidence import Evidence
from signer.validation.existence import Existence
from signer.validation.path import CertificatePool, Path, PathInputs, find_paths
from signer.validation.status import EmbeddedStatus

AT: Final = datetime(2012, 1, 1, tzinfo=UTC)
CASES: Final = 249
NOT_OURS: Final = {
    "4.1.4": "DSA is not verified here: the answer is invalid, never valid",
    "4.1.5": "DSA with inherited parameters is not verified here: the answer is invalid, never valid",
}


def test_nist_pkits_is_answered_as_expected(vectors: FilePath) -> None:
    package = pytest.importorskip("cryptography_vectors", reason="the package cryptography-vectors is not installed")
    folder = FilePath(package.__path__[0]) / "x509" / "PKITS_data"
    document = json.loads((vectors / "pkits" / "expected.json").read_bytes())
    anchor = Certificate.parse((folder / document["trust_anchor"]).read_bytes())
    answers = {case["id"]: (_is_valid(case, folder, anchor), case["expected"] == "valid") for case in document["tests"]}
    assert len(answers) == CASES
    assert {name for name, (said, expected) in answers.items() if said != expected} == NOT_OURS.keys()
    assert not any(answers[name][0] for name in NOT_OURS)


def _is_valid(case: dict[str, Any], folder: FilePath, anchor: Certificate) -> bool:
    names = (case["cert"], *case["intermediates"], *case["other_certs"])
    try:
        leaf, *others = (Certificate.parse((folder / name).read_bytes()) for name in names)
    except ServiceError:
        return False
    lists = tuple((folder / name).read_bytes() for name in case["crls"])
    pool = CertificatePool([*others, leaf, anchor])
    evidence = Evidence(
        pool=pool, sources=(EmbeddedStatus(crls=lists),), anchors=frozenset((anchor,)), existence=Existence(AT)
    )
    inputs = PathInputs(
        wanted_policies=frozenset(case["initial_policy_set"]),
        explicit_policy=case["initial_explicit_policy"],
        inhibit_mapping=case["initial_policy_mapping_inhibit"],
        inhibit_any_policy=case["initial_any_policy_inhibit"],
    )
    return any(_holds(path, evidence) for path in find_paths(leaf, pool, evidence.anchors, inputs))


def _holds(path: Path, evidence: Evidence) -> bool:
    in_time = all(one.not_before <= AT <= one.not_after for one in path.chain)
    return path.problem is None and in_time and all(_is_good(*pair, evidence) for pair in pairwise(path.chain))


def _is_good(certificate: Certificate, issuer: Certificate, evidence: Evidence) -> bool:
    answers = evidence.answers(certificate, issuer, AT)
    current = [one for one in answers if isinstance(one, Good) and (one.next_update is None or one.next_update >= AT)]
    return bool(current) and not any(isinstance(one, Revoked) for one in answers)
