"""What a deployment's custodians are told: which role uses which key for what, and how far each key may go.

Derived from the same profiles and settings that the authority issues by, so that what it makes within them is
signed and nothing beyond is. The root's custodian lives for a ceremony and has a policy of its own.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import Final, TypeVar

from ca.config import AuthoritySettings
from ca.context import responder_name
from ca.hierarchy import CHECKPOINT_KEY, ROOT_KEY, SERVICE_SEAL, TOKEN_KEY, TSA, authority_key
from ca.profiles import ISSUING_AUTHORITIES, IssuerName, ProfileName
from ca.tokens.config import TokenSettings
from hsm.custodian.limits import KeyLimits
from hsm.custodian.policy import ACTS, Grant, KeyNames, LimitedKeys, Policy, RolePolicy
from pki import oids

SERVER: Final = "server"
WORKER: Final = "worker"
OPERATOR: Final = "operator"

# Between the time that is put into a structure and its signature: a queue, a second try, an intent carried out later.
PATIENCE: Final = timedelta(minutes=10)
AHEAD: Final = timedelta(seconds=30)
TIMESTAMP_TOLERANCE: Final = timedelta(seconds=2)

_OfKeys = TypeVar("_OfKeys", Grant, LimitedKeys)

_ALWAYS: Final = frozenset(
    {oids.AUTHORITY_KEY_IDENTIFIER, oids.SUBJECT_KEY_IDENTIFIER, oids.KEY_USAGE, oids.BASIC_CONSTRAINTS}
)
_POINTERS: Final = frozenset(
    {
        oids.CERTIFICATE_POLICIES,
        oids.EXTENDED_KEY_USAGE,
        oids.AUTHORITY_INFO_ACCESS,
        oids.CRL_DISTRIBUTION_POINTS,
    }
)
_AUTHORITIES: Final = KeyNames(tuple(authority_key(label) for label in ISSUING_AUTHORITIES))
_FIRST_RESPONDERS: Final = tuple(responder_name(label) for label in ISSUING_AUTHORITIES)
_RESPONDERS: Final = KeyNames((*_FIRST_RESPONDERS, *(f"{name}-*" for name in _FIRST_RESPONDERS)))
_UNITS: Final = KeyNames((TSA, f"{TSA}-*"))  # one after the other: each has a key of its own
_SEALS: Final = KeyNames((SERVICE_SEAL, f"{SERVICE_SEAL}-*"))
_FORMER: Final = {
    KeyNames(_FIRST_RESPONDERS): _RESPONDERS,
    KeyNames((TSA,)): _UNITS,
    KeyNames((SERVICE_SEAL,)): _SEALS,
}


def service_policy(settings: AuthoritySettings, tokens: TokenSettings, uids: Mapping[str, int]) -> Policy:
    """Return the policy of the running service; `uids` says whom each of server, worker and operator runs as."""
    return Policy(
        roles=MappingProxyType(
            {
                SERVER: RolePolicy(uids=frozenset({uids[SERVER]}), grants=_SERVER_GRANTS),
                WORKER: RolePolicy(uids=frozenset({uids[WORKER]}), journal=True, grants=_WORKER_GRANTS),
                OPERATOR: RolePolicy(
                    uids=frozenset({uids[OPERATOR]}),
                    administer=True,
                    journal=True,
                    grants=(Grant(keys=KeyNames(("*",)), acts=ACTS),),
                ),
            }
        ),
        limited=(
            *(
                LimitedKeys(keys=KeyNames((authority_key(label),)), limits=_authority_limits(label, settings))
                for label in ISSUING_AUTHORITIES
            ),
            LimitedKeys(
                keys=_RESPONDERS,
                limits=KeyLimits(
                    backdate_seconds=_seconds(PATIENCE),
                    ahead_seconds=_seconds(AHEAD),
                    ocsp_seconds=_seconds(settings.ocsp_validity),
                ),
            ),
            LimitedKeys(
                keys=_UNITS,
                limits=KeyLimits(
                    timestamp_tolerance_ms=_seconds(TIMESTAMP_TOLERANCE) * 1000,
                    timestamp_policies=frozenset({settings.oids.timestamp_policy}),
                ),
            ),
            LimitedKeys(
                keys=KeyNames((TOKEN_KEY,)),
                limits=KeyLimits(
                    backdate_seconds=_seconds(PATIENCE),
                    ahead_seconds=_seconds(AHEAD),
                    token_seconds=_seconds(tokens.access_life),
                    token_issuer=tokens.issuer,
                ),
            ),
        ),
    )


def root_policy(settings: AuthoritySettings, uid: int) -> Policy:
    """Return the policy of the pilot root's custodian, which one operator runs for a ceremony."""
    longest = max(settings.profiles.get(name).validity for name in (ProfileName.ROOT, ProfileName.ISSUING_CA))
    usages = frozenset(usage for label in ISSUING_AUTHORITIES for usage in settings.profiles.authority_usages(label))
    limits = KeyLimits(
        backdate_seconds=_seconds(settings.backdate + PATIENCE),
        ahead_seconds=_seconds(AHEAD),
        certificate_seconds=_seconds(longest),
        allowed_extensions=_ALWAYS | _POINTERS,
        required_extensions=_ALWAYS,
        allowed_key_purposes=usages,
        ca_path_length=0,
        crl_seconds=_seconds(settings.root_crl_validity),
    )
    operator = RolePolicy(
        uids=frozenset({uid}), administer=True, journal=True, grants=(Grant(keys=KeyNames(("*",)), acts=ACTS),)
    )
    return Policy(
        roles=MappingProxyType({OPERATOR: operator}),
        limited=(LimitedKeys(keys=KeyNames((ROOT_KEY,)), limits=limits),),
    )


def _authority_limits(label: IssuerName, settings: AuthoritySettings) -> KeyLimits:
    issued = settings.profiles.issued_by(label)
    return KeyLimits(
        backdate_seconds=_seconds(settings.backdate + PATIENCE),
        ahead_seconds=_seconds(AHEAD),
        certificate_seconds=_seconds(max(profile.validity for profile in issued)),
        allowed_extensions=frozenset(name for profile in issued for name in profile.extensions),
        required_extensions=_ALWAYS | {oids.CERTIFICATE_POLICIES},
        allowed_key_purposes=frozenset(usage for profile in issued for usage in profile.extended_key_usage),
        crl_seconds=_seconds(settings.crl_validity),
    )


def follow_profiles(policy: Policy, settings: AuthoritySettings) -> Policy:
    """Return a policy whose authorities may sign what the profiles ask for now; all else stays as it was written.

    One of before services got new keys lets their next keys do what the first one may.
    """
    derived = {KeyNames((authority_key(label),)): _authority_limits(label, settings) for label in ISSUING_AUTHORITIES}
    limited = (_following(limited, derived.get(limited.keys)) for limited in policy.limited)
    roles = {name: replace(role, grants=tuple(map(_of_next_keys, role.grants))) for name, role in policy.roles.items()}
    return replace(policy, roles=MappingProxyType(roles), limited=tuple(map(_of_next_keys, limited)))


def _of_next_keys(one: _OfKeys) -> _OfKeys:
    return replace(one, keys=_FORMER.get(one.keys, one.keys))


def _following(limited: LimitedKeys, derived: KeyLimits | None) -> LimitedKeys:
    if derived is None:
        return limited
    limits = replace(
        limited.limits,
        backdate_seconds=derived.backdate_seconds,
        certificate_seconds=derived.certificate_seconds,
        allowed_extensions=derived.allowed_extensions,
        allowed_key_purposes=derived.allowed_key_purposes,
    )
    return replace(limited, limits=limits)


def _seconds(span: timedelta) -> int:
    return int(span.total_seconds())


def _grant(keys: KeyNames | str, *acts: str, per_second: int, burst: int) -> Grant:
    named = keys if isinstance(keys, KeyNames) else KeyNames((keys,))
    return Grant(keys=named, acts=frozenset(acts), per_second=per_second, burst=burst)


# A peak of 600 signed events a second for the whole network; bulk issue and pre-signing come in batches.
_SERVER_GRANTS: Final = (
    _grant(_AUTHORITIES, "certificate", per_second=1500, burst=20_000),
    _grant(_AUTHORITIES, "crl", per_second=10, burst=1000),
    _grant(_RESPONDERS, "ocsp", per_second=2000, burst=20_000),
    _grant(_UNITS, "timestamp", per_second=2000, burst=10_000),
    _grant(TOKEN_KEY, "token", per_second=2000, burst=10_000),
    _grant(CHECKPOINT_KEY, "note", per_second=10, burst=100),
    _grant(_SEALS, "data", "jws", per_second=1000, burst=10_000),
)
_WORKER_GRANTS: Final = (
    _grant(_AUTHORITIES, "certificate", per_second=1500, burst=20_000),
    _grant(_AUTHORITIES, "crl", per_second=50, burst=20_000),
    _grant(_RESPONDERS, "ocsp", per_second=20_000, burst=400_000),
    _grant(_UNITS, "timestamp", per_second=500, burst=5000),
    _grant(CHECKPOINT_KEY, "note", per_second=10, burst=100),
    _grant(_SEALS, "data", "jws", per_second=1000, burst=10_000),
)
