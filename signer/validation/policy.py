"""Validation policies: data, not code (EN 319 102-1 §5.2.4). Three are built in; a deployer's own are JSON files.

A policy file names a built-in `base` and changes its members:
`{"base": "health-cluster", "name": "…", "path_through": ["<sha256 of a certificate or key>"], …}`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa

from pki import jose, oids
from pki.errors import ErrorCode, InvalidInput
from pki.identity_file import pilot_identities
from pki.identity_scheme import IdentityScheme
from pki.signatures import ForeignPublicKey

_NEVER: Final = datetime.min.replace(tzinfo=UTC)


def _day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlgorithmPolicy:
    """Until when an algorithm counts as reliable (ETSI TS 119 312); None: no end is known.

    Key rules are (bits below which the rule holds, end), smallest first.
    """

    hash_ends: tuple[tuple[str, datetime | None], ...] = (
        (oids.SHA256, None),
        (oids.SHA384, None),
        (oids.SHA512, None),
        (oids.SHA512_256, None),
        (oids.SHA3_256, None),
        (oids.SHA3_384, None),
        (oids.SHA3_512, None),
        (oids.SHAKE128, None),
        (oids.SHAKE256, None),
        (oids.SHA224, _day("2029-01-01")),
        (oids.SHA3_224, _day("2029-01-01")),
        (oids.SHA1, _day("2012-08-01")),
        (oids.MD5, _day("2004-08-01")),
    )
    rsa_ends: tuple[tuple[int, datetime], ...] = (
        (786, _NEVER),
        (1024, _day("2010-08-01")),
        (1900, _day("2019-10-01")),
        (3000, _day("2029-01-01")),
    )
    ec_ends: tuple[tuple[int, datetime], ...] = ((160, _NEVER), (224, _day("2012-08-01")), (256, _day("2021-10-01")))

    @property
    def never(self) -> datetime:
        """The end of what was never reliable."""
        return _NEVER

    def hash_end(self, name: str) -> datetime | None:
        """Return when hash `name` stops being reliable; the earliest instant if it never was."""
        return next((end for known, end in self.hash_ends if known == name), _NEVER)

    def key_end(self, key: ForeignPublicKey) -> datetime | None:
        """Return when keys of this kind and size stop being reliable."""
        if isinstance(key, rsa.RSAPublicKey | dsa.DSAPublicKey):  # DSA's p is as hard as RSA's n of its size
            table = self.rsa_ends
        elif isinstance(key, ec.EllipticCurvePublicKey):
            table = self.ec_ends
        else:
            return None
        return next((end for bits, end in table if key.key_size < bits), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a signature must fulfil.

    `path_through`, `cluster`: SHA-256 of certificates or public keys, and the name of a configured cluster of such,
    of which the path must hold one. Without both, any path to an anchor will do; a cluster that nobody configured
    admits none.
    `professions_for`: by type of FHIR resource, who may sign documents that hold one.
    `require_current_trust`: what rests on an outdated trust bundle is undecided; `max_trust_age` ends its life earlier.
    `max_status_age`: how old a status may be; None lets it count until its nextUpdate (EN 319 102-1 §5.2.5).
    `status_after_signature`: status must be produced at or after the proven time.
    `signature_policies`: the signature policies that are accepted, by OID or URI, each with the digests of its
    document under whatever hashes signers may use; without digests, whichever document they name.
    `require_time_proof`: the signer's word on the time does not do; a time-stamp must prove it.
    """

    name: str
    algorithms: AlgorithmPolicy = AlgorithmPolicy()
    require_non_repudiation: bool = False
    require_time_proof: bool = False
    require_ca_status: bool = True
    require_admission: bool = False
    professions: frozenset[str] = frozenset()
    professions_for: Mapping[str, frozenset[str]] = field(default_factory=dict)
    required_policies: frozenset[str] = frozenset()
    path_through: frozenset[str] = frozenset()
    signature_policies: tuple[tuple[str, frozenset[bytes]], ...] = ()
    cluster: str | None = None
    require_current_trust: bool = False
    max_trust_age: timedelta | None = None
    max_status_age: timedelta | None = None
    status_after_signature: bool = False
    clock_skew: timedelta = timedelta(minutes=5)
    arc: oids.OidArc = field(default_factory=oids.OidArc)
    identities: IdentityScheme = field(default_factory=pilot_identities, repr=False)


DEFAULT: Final = Policy(name="default")
HEALTH_CLUSTER: Final = Policy(
    name="health-cluster",
    require_non_repudiation=True,
    require_admission=True,
    require_current_trust=True,
    cluster="health",
    professions_for={
        "MedicationRequest": frozenset(("physician", "dentist", "midwife")),
        "MedicationDispense": frozenset(("pharmacist",)),
        "ServiceRequest": frozenset(("physician", "dentist", "midwife")),
    },
)
ARCHIVE: Final = Policy(name="archive", require_time_proof=True, status_after_signature=True)
BUILT_IN: Final = {policy.name: policy for policy in (DEFAULT, HEALTH_CLUSTER, ARCHIVE)}

_FLAGS: Final = (
    "require_non_repudiation",
    "require_time_proof",
    "require_ca_status",
    "require_admission",
    "require_current_trust",
    "status_after_signature",
)
_SLUG: Final = re.compile("[a-z][a-z0-9-]{0,62}")
_OID: Final = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]{0,38})){1,30}")
_SETS: Final = {
    "professions": _SLUG,
    "required_policies": _OID,
    "path_through": re.compile("[0-9a-f]{64}"),
}
_DURATIONS: Final = {
    "max_status_age_seconds": "max_status_age",
    "max_trust_age_seconds": "max_trust_age",
    "clock_skew_seconds": "clock_skew",
}
_HEX: Final = re.compile("(?:[0-9a-fA-F]{2}){1,64}")
_RESOURCE: Final = re.compile("[A-Z][A-Za-z]{2,60}")
_NAME: Final = re.compile(r"(?!\s)[^\x00-\x1f\x7f-\x9f]{1,100}(?<!\s)")
MAX_ENTRIES: Final = 256


def parse_policy(data: bytes) -> Policy:
    """Read a policy file; InvalidInput for an unknown base, member, type or form."""
    members = jose.json_object(data)
    base = members.pop("base", DEFAULT.name)
    if not isinstance(base, str) or base not in BUILT_IN:
        raise _refuse("base is not a built-in policy")
    changes = dict(_change(name, value) for name, value in members.items())
    return replace(BUILT_IN[base], **{"name": f"{base} (changed)", **changes})


def _change(name: str, value: Any) -> tuple[str, Any]:
    """Read one member as the change that it makes."""
    match name, value:
        case str(), list() if name in _SETS:
            return name, _entries(name, value, _SETS[name])
        case str(), int() if name in _DURATIONS and not isinstance(value, bool) and 0 <= value < 2**31:
            return _DURATIONS[name], timedelta(seconds=value)
        case str(), bool() if name in _FLAGS:
            return name, value
        case "professions_for", dict() if len(value) <= MAX_ENTRIES and all(map(_RESOURCE.fullmatch, value)):
            return name, {kind: _entries(f"{name}.{kind}", some, _SLUG) for kind, some in value.items()}
        case "cluster", None:
            return name, None
        case ("cluster", str()) if _SLUG.fullmatch(value):
            return name, value
        case ("arc", str()) if _OID.fullmatch(value):
            return name, oids.OidArc(arc=value)
        case "signature_policies", _:
            return name, _signature_policies(value)
        case ("name", str()) if _NAME.fullmatch(value):
            return name, value
    raise _refuse(f"unknown member, type or form: {name[:40]}")


def _entries(name: str, value: Any, form: re.Pattern[str]) -> frozenset[str]:
    if not isinstance(value, list) or len(value) > MAX_ENTRIES:
        raise _refuse(f"{name} is not an array of at most {MAX_ENTRIES} strings")
    if not all(isinstance(item, str) and form.fullmatch(item) for item in value):
        raise _refuse(f"{name} holds something of another form")
    return frozenset(value)


def _signature_policies(value: Any) -> tuple[tuple[str, frozenset[bytes]], ...]:
    if not isinstance(value, dict):
        raise _refuse("signature_policies is not an object of arrays of hexadecimal digests")
    try:
        return tuple(
            (name, frozenset(map(bytes.fromhex, _entries(name, digests, _HEX)))) for name, digests in value.items()
        )
    except ValueError as error:
        raise _refuse("a digest of a signature policy is not hexadecimal") from error


def _refuse(detail: str) -> InvalidInput:
    return InvalidInput(ErrorCode.INPUT_MALFORMED, f"policy: {detail}")
