import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.custodian.limits import KeyLimits
from hsm.custodian.policy import (
    ACTS,
    Grant,
    KeyNames,
    LimitedKeys,
    Policy,
    RolePolicy,
    load_policy,
    permissive,
    write_policy,
)
from hsm.errors import ConfigurationInvalid, RoleRefused
from pki import oids

LIMITS = KeyLimits(
    backdate_seconds=900,
    ahead_seconds=60,
    not_after=datetime(2034, 11, 22, tzinfo=UTC),
    certificate_seconds=94_608_000,
    allowed_extensions=frozenset({oids.KEY_USAGE, oids.BASIC_CONSTRAINTS}),
    required_extensions=frozenset({oids.AUTHORITY_KEY_IDENTIFIER}),
    allowed_key_purposes=frozenset(),
    ca_path_length=0,
    crl_seconds=172_800,
    ocsp_seconds=86_400,
    timestamp_tolerance_ms=2000,
    timestamp_policies=frozenset({"1.3.6.1.4.1.32473.364.4.1"}),
    token_seconds=600,
    token_issuer="https://mohr.example",
)
POLICY = Policy(
    roles={
        "server": RolePolicy(
            uids=frozenset({998}),
            grants=(
                Grant(keys=KeyNames(("tsa",)), acts=frozenset({"timestamp"}), per_second=50, burst=500),
                Grant(keys=KeyNames(("ca-*", "ocsp-*")), acts=frozenset({"certificate", "ocsp"})),
            ),
        ),
        "worker": RolePolicy(uids=frozenset({997, 0}), journal=True),
        "operator": RolePolicy(uids=frozenset({0}), administer=True),
    },
    limited=(
        LimitedKeys(keys=KeyNames(("ca-persons",)), limits=LIMITS),
        LimitedKeys(keys=KeyNames(("ca-*",)), limits=KeyLimits(crl_seconds=5)),
    ),
)


def written(path: Path, **changes: object) -> Path:
    write_policy(POLICY, path)
    document = json.loads(path.read_bytes()) | changes
    path.write_text(json.dumps({name: value for name, value in document.items() if value is not None}))
    return path


def test_a_policy_survives_its_file(tmp_path: Path) -> None:
    write_policy(POLICY, tmp_path / "policy.json")
    assert load_policy(tmp_path / "policy.json") == POLICY


def test_every_limit_survives_its_file(tmp_path: Path) -> None:
    assert all(getattr(LIMITS, name) != getattr(KeyLimits(), name) for name in KeyLimits.__slots__)
    write_policy(POLICY, tmp_path / "policy.json")
    assert load_policy(tmp_path / "policy.json").limits("ca-persons") == LIMITS


def test_a_role_may_do_what_a_grant_names_and_nothing_else() -> None:
    assert POLICY.grant("server", "tsa", "timestamp").burst == 500
    assert POLICY.grant("server", "ca-persons", "certificate").burst is None
    assert POLICY.grant("server", "ocsp-persons", "ocsp").per_second is None
    for role, label, act in (
        ("server", "tsa", "certificate"),
        ("server", "tsa2", "timestamp"),
        ("server", "ca", "certificate"),
        ("server", "ca-persons", "crl"),
        ("server", "root", "certificate"),
        ("worker", "tsa", "timestamp"),
        ("stranger", "tsa", "timestamp"),
        ("server", "tsa", "nonsense"),
        ("server", "", "timestamp"),
    ):
        with pytest.raises(RoleRefused):
            POLICY.grant(role, label, act)


def test_the_first_limits_that_fit_count() -> None:
    assert POLICY.limits("ca-persons") is LIMITS
    assert POLICY.limits("ca-systems") == KeyLimits(crl_seconds=5)
    assert POLICY.limits("tsa") == KeyLimits()


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(RoleRefused):
        POLICY.role("stranger")


def test_a_permissive_policy_lets_its_users_do_everything() -> None:
    policy = permissive({1000})
    assert policy.roles.keys() == {"server", "worker", "operator"}
    for role in policy.roles:
        assert policy.role(role).uids == {1000}
        assert policy.role(role).administer
        assert policy.role(role).journal
        for act in ACTS:
            assert policy.grant(role, "any", act).per_second is None


def test_a_permissive_policy_survives_its_file(tmp_path: Path) -> None:
    write_policy(permissive({1000}), tmp_path / "policy.json")
    assert load_policy(tmp_path / "policy.json") == permissive({1000})


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_policy_that_others_may_write_is_not_read(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "policy.json"
    write_policy(POLICY, path)
    path.chmod(mode)
    with pytest.raises(ConfigurationInvalid, match="may write"):
        load_policy(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_policy_of_another_user_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    write_policy(POLICY, path)
    os.chown(path, 12345, -1)
    with pytest.raises(ConfigurationInvalid, match="may write"):
        load_policy(path)


def test_a_policy_that_others_may_read_is_read(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    write_policy(POLICY, path)
    path.chmod(0o644)
    assert load_policy(path) == POLICY


def test_a_policy_behind_a_link_is_not_read(tmp_path: Path) -> None:
    write_policy(POLICY, tmp_path / "real.json")
    (tmp_path / "policy.json").symlink_to(tmp_path / "real.json")
    with pytest.raises(ConfigurationInvalid):
        load_policy(tmp_path / "policy.json")


def role(**members: object) -> dict[str, Any]:
    return {"roles": {"server": {"uids": [1], **members}}}


def grants(**members: object) -> dict[str, Any]:
    return role(grants=[{"keys": ["*"], "acts": ["token"], **members}])


def limit(**members: object) -> dict[str, Any]:
    return {"limits": [{"keys": ["*"], **members}]}


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"version": True},
        {"version": None},
        {"roles": None},
        {"roles": []},
        {"roles": {"server": []}},
        {"roles": {"A role": {"uids": [1]}}},
        {"roles": {"server": {}}},
        {"more": 1},
        {"limits": {}},
        {"limits": [5]},
        role(uids=[-1]),
        role(uids=["root"]),
        role(uids=[True]),
        role(administer=1),
        role(journal="yes"),
        role(power=True),
        role(grants={}),
        grants(acts=["sign"]),
        grants(acts=[5]),
        grants(acts="token"),
        grants(keys=[]),
        grants(keys=[5]),
        grants(keys=["a*b"]),
        grants(keys=["*a*"]),
        grants(keys=[""]),
        grants(keys=["two words"]),
        grants(keys=["k" * 65]),
        grants(per_second=5),
        grants(burst=5),
        grants(per_second=0, burst=5),
        grants(per_second=1.5, burst=5),
        grants(per_second=5, burst=2**60),
        limit(certificate_seconds=-1),
        limit(certificate_seconds="1"),
        limit(certificate_years=1),
        limit(not_after="tomorrow"),
        limit(not_after=5),
        limit(not_after="2026-11-22T09:00:00"),
        limit(allowed_extensions="2.5.29.15"),
        limit(allowed_extensions=["keyUsage"]),
        limit(allowed_extensions=[5]),
        limit(timestamp_policies=["1"]),
        limit(token_issuer=5),
        {"limits": [{"crl_seconds": 5}]},
    ],
)
def test_a_policy_that_says_anything_else_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationInvalid):
        load_policy(written(tmp_path / "policy.json", **changes))


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"\xff", b'{"version":1,"version":1,"roles":{}}', b" " * 2**20 + b"{}"]
)
def test_a_file_that_is_no_policy_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "policy.json"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationInvalid):
        load_policy(path)


def test_a_missing_policy_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid, match="No such file"):
        load_policy(tmp_path / "none.json")


labels = st.text(st.sampled_from("ab-"), min_size=1, max_size=4)


@given(names=st.lists(st.tuples(labels, st.booleans()), min_size=1, max_size=4), label=labels)
def test_names_of_keys_mean_what_they_say(names: list[tuple[str, bool]], label: str) -> None:
    written_names = tuple(name + ("*" if star else "") for name, star in names)
    expected = any(label.startswith(name) if star else label == name for name, star in names)
    assert (label in KeyNames(written_names)) is expected


def test_rates_need_both_numbers() -> None:
    with pytest.raises(ConfigurationInvalid):
        replace(POLICY.roles["server"].grants[0], burst=None)
