"""Policies are data: what a policy file may say, and what it may not."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import strategies as st

from pki import oids
from pki.errors import InvalidInput, ServiceError
from pki.jose import compact_json
from signer.validation.policy import BUILT_IN, DEFAULT, HEALTH_CLUSTER, AlgorithmPolicy, parse_policy


def test_a_file_changes_members_of_its_base() -> None:
    policy = parse_policy(
        compact_json(
            {
                "base": "health-cluster",
                "name": "ours",
                "professions": ["physician"],
                "path_through": ["ab" * 32],
                "cluster": "dentistry",
                "professions_for": {"MedicationRequest": ["physician"]},
                "max_trust_age_seconds": 86400,
                "require_current_trust": False,
                "required_policies": ["1.3.6.1.4.1.32473.1"],
                "max_status_age_seconds": 3600,
                "clock_skew_seconds": 60,
                "status_after_signature": True,
                "arc": "1.3.6.1.4.1.32473.7",
            }
        )
    )
    assert (policy.name, policy.require_admission, policy.status_after_signature) == ("ours", True, True)
    assert (policy.max_status_age, policy.clock_skew) == (timedelta(hours=1), timedelta(minutes=1))
    assert (policy.professions, policy.arc.arc) == (frozenset(("physician",)), "1.3.6.1.4.1.32473.7")
    assert (policy.cluster, policy.max_trust_age, policy.require_current_trust) == (
        "dentistry",
        timedelta(days=1),
        False,
    )
    assert policy.professions_for == {"MedicationRequest": frozenset(("physician",))}
    assert policy.algorithms == HEALTH_CLUSTER.algorithms
    assert parse_policy(b'{"base":"health-cluster","cluster":null}').cluster is None


def test_an_empty_file_is_the_default_under_another_name() -> None:
    policy = parse_policy(b"{}")
    assert policy.name != DEFAULT.name
    assert policy.require_admission is False


@pytest.mark.parametrize(
    "members",
    [
        {"base": "nobody's"},
        {"unknown": 1},
        {"professions": "physician"},
        {"professions": [1]},
        {"require_admission": 1},
        {"max_status_age_seconds": True},
        {"max_status_age_seconds": -1},
        {"algorithms": {}},
        {"base": None},
        {"professions": ["Physician"]},
        {"path_through": ["AB" * 32]},
        {"path_through": ["ab"]},
        {"path_through": ["ab" * 32] * 257},
        {"required_policies": ["silver"]},
        {"required_policies": ["1.3.06"]},
        {"arc": "1.3.6.x"},
        {"cluster": "Health"},
        {"cluster": 1},
        {"professions_for": ["MedicationRequest"]},
        {"professions_for": {"medication": []}},
        {"professions_for": {"MedicationRequest": ["a b"]}},
        {"require_current_trust": 1},
        {"max_trust_age_seconds": "7 days"},
        {"name": ""},
        {"name": "a\u001b"},
        {"name": 1},
    ],
)
def test_what_is_not_understood_is_refused(members: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        parse_policy(compact_json(members))


@given(st.binary(max_size=200) | st.dictionaries(st.text(max_size=8), st.integers()).map(compact_json))
def test_reading_a_policy_raises_only_service_errors(data: bytes) -> None:
    try:
        parse_policy(data)
    except ServiceError:
        return


def test_built_in_policies_are_found_by_name() -> None:
    assert set(BUILT_IN) == {"default", "health-cluster", "archive"}


def test_algorithms_end_when_the_table_says() -> None:
    table = AlgorithmPolicy()
    assert table.hash_end(oids.SHA256) is None
    assert table.hash_end(oids.SHA1) == datetime(2012, 8, 1, tzinfo=UTC)
    assert table.hash_end(oids.MD5) == datetime(2004, 8, 1, tzinfo=UTC)
    assert table.hash_end("1.2.840.113549.2.2") == table.never  # MD2
    assert table.key_end(ec.generate_private_key(ec.SECP256R1()).public_key()) is None
    assert table.key_end(ec.generate_private_key(ec.SECP224R1()).public_key()) == datetime(2021, 10, 1, tzinfo=UTC)
    assert table.key_end(ed25519.Ed25519PrivateKey.generate().public_key()) is None
