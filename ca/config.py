"""Settings of the authority: what a deployer says (raw) and what may be used (validated)."""

import re
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum, unique
from typing import Final
from urllib.parse import urlsplit

from ca.profile_file import parse_profiles, pilot_profiles
from ca.profile_rules import check_roles
from ca.profiles import ProfileSet
from pki.errors import ErrorCode, InvalidInput
from pki.identity import parse_name
from pki.identity_file import parse_identities, pilot_identities
from pki.identity_scheme import IdentityScheme
from pki.oids import NATIONAL_ARC, PILOT_ARC, OidArc

MAX_URL: Final = 200
MAX_SHARDS: Final = 4096
MAX_BACKDATE: Final = 3600
MAX_OCSP_HOURS: Final = 168
MAX_ALARM_CHANGES: Final = 1_000_000
MAX_ALARM_MINUTES: Final = 10_080  # as long as changes are remembered
MAX_CRL_INTERVAL: Final = 720
MAX_NOTICE: Final = 200  # explicitText, RFC 5280 §4.2.1.4

PILOT_NOTICE: Final = (
    "Pilot: valid for internal use only (by-law of art. 32, art. 11), issued without a licence of the root. "
    "آزمایشی؛ فقط برای استفادهٔ داخلی (آیین‌نامهٔ مادهٔ ۳۲، مادهٔ ۱۱)"
)


@unique
class PersonSerial(StrEnum):
    """What a person's serialNumber attribute carries."""

    NATIONAL_CODE = "national-code"
    OPAQUE = "opaque"


@dataclass(frozen=True, slots=True, kw_only=True)
class RawAuthoritySettings:
    """As a deployer writes them.

    `refused_keys` names public keys (SHA-256 of the SPKI) never to be certified; `profiles` is a profile set's file,
    `identities` an identity scheme's; None for the pilot's.
    """

    public_url: str
    organization: str
    status_url: str | None = None
    country: str = "IR"
    oid_arc: str = PILOT_ARC
    crl_shards: int = 4
    person_serial: str = PersonSerial.NATIONAL_CODE.value
    admission_authority: str | None = None
    policy_notice: str = PILOT_NOTICE
    backdate_seconds: int = 300
    ocsp_hours: int = 24
    alarm_changes: int = 20
    alarm_minutes: int = 60
    demand_key_proof: bool = False
    crl_deltas: bool = True
    crl_interval_minutes: int = 0
    refused_keys: tuple[str, ...] = ()
    profiles: bytes | None = field(default=None, repr=False)
    identities: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AuthoritySettings:
    """Validated; made by `validate_settings`; compared and hashed by identity.

    An officer who revokes or suspends `alarm_changes` certificates within `alarm_within` raises an alarm.

    `status_url` is where `/ocsp`, `/crl` and `/ca` answer over plain HTTP: it is baked into every certificate.
    `demand_key_proof`: persons' keys in hardware are certified with a proof (`ca.issuing.key_proofs`) alone.
    `crl_deltas`: each list has a delta; a change is told by it alone while the list is younger than `crl_interval`.
    """

    status_url: str
    organization: str
    country: str
    oids: OidArc
    crl_shards: int
    person_serial: PersonSerial
    admission_authority: str | None
    policy_notice: str
    profiles: ProfileSet = field(repr=False)
    identities: IdentityScheme = field(repr=False)
    refused_keys: frozenset[bytes] = frozenset()
    demand_key_proof: bool = False
    backdate: timedelta = timedelta(minutes=5)
    alarm_changes: int = 20
    alarm_within: timedelta = timedelta(hours=1)
    crl_validity: timedelta = timedelta(hours=48)
    root_crl_validity: timedelta = timedelta(days=370)
    crl_retention: timedelta = timedelta(days=7)
    crl_deltas: bool = True
    crl_interval: timedelta = timedelta()
    delta_base_life: timedelta = timedelta(hours=24)
    ocsp_validity: timedelta = timedelta(hours=24)
    ocsp_refresh: timedelta = timedelta(hours=8)

    def shards_of(self, issuer: str) -> int:
        """How many CRLs an issuer's certificates are spread over; the root has one."""
        return 1 if issuer == "root" else self.crl_shards

    def shard_of(self, issuer: str, serial: int) -> int:
        """The shard that will hold a certificate's entry, fixed by its serial number."""
        return serial % self.shards_of(issuer)

    def crl_url(self, issuer: str, shard: int) -> str:
        """Where a shard's CRL is: the CDP of its certificates and the IDP of the CRL."""
        return f"{self.status_url}/crl/{issuer}/{shard}.crl"

    def delta_url(self, issuer: str, shard: int) -> str:
        """Where the deltas to a shard's CRL are: the freshestCRL of the CRL."""
        return f"{self.status_url}/crl/{issuer}/{shard}.delta.crl"

    def issuer_url(self, issuer: str) -> str:
        """Where an issuer's certificate is."""
        return f"{self.status_url}/ca/{issuer}.cer"

    @property
    def ocsp_url(self) -> str:
        """Where the OCSP responder answers."""
        return f"{self.status_url}/ocsp"


def _refuse(what: str) -> InvalidInput:
    return InvalidInput(ErrorCode.INPUT_MALFORMED, f"authority settings: {what}")


def _check_url(url: str, *, schemes: tuple[str, ...]) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise _refuse("not a URL") from error
    plain = re.fullmatch(r"[A-Za-z0-9:/._~\-\[\]]+", url) is not None
    if parts.scheme not in schemes or not parts.hostname or not plain or url.endswith("/") or len(url) > MAX_URL:
        raise _refuse(f"a URL is {' or '.join(schemes)}://host[:port][/path], without a slash at the end")
    return url


def _status_url(raw: RawAuthoritySettings) -> str:
    """Clients that check a TLS certificate cannot fetch its CRL over TLS: CDP and AIA are plain HTTP."""
    if raw.status_url is not None:
        return _check_url(raw.status_url, schemes=("http",))
    parts = urlsplit(_check_url(raw.public_url, schemes=("http", "https")))
    if parts.scheme == "http":
        return raw.public_url
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else str(parts.hostname)
    return f"http://{host}{parts.path}"


def validate_settings(raw: RawAuthoritySettings) -> AuthoritySettings:
    """Check a deployer's settings; InvalidInput (`input-malformed`, `profile-invalid`, `identities-invalid`)."""
    if not re.fullmatch(r"[A-Z]{2}", raw.country):
        raise _refuse("country is two capital letters (ISO 3166-1)")
    if not re.fullmatch(r"[0-2](?:\.(?:0|[1-9]\d{0,17})){1,20}", raw.oid_arc) or raw.oid_arc.startswith(NATIONAL_ARC):
        raise _refuse("oid_arc is an object identifier outside the national arc")
    if not 1 <= raw.crl_shards <= MAX_SHARDS:
        raise _refuse(f"crl_shards is 1 to {MAX_SHARDS}")
    if not 1 <= len(raw.policy_notice) <= MAX_NOTICE:
        raise _refuse(f"policy_notice has 1 to {MAX_NOTICE} characters")
    if not 1 <= raw.ocsp_hours <= MAX_OCSP_HOURS:
        raise _refuse(f"ocsp_hours is 1 to {MAX_OCSP_HOURS}")
    if not 0 <= raw.backdate_seconds <= MAX_BACKDATE:
        raise _refuse(f"backdate_seconds is 0 to {MAX_BACKDATE}")
    if not 1 <= raw.alarm_changes <= MAX_ALARM_CHANGES or not 1 <= raw.alarm_minutes <= MAX_ALARM_MINUTES:
        raise _refuse(f"alarm_changes is 1 to {MAX_ALARM_CHANGES}, alarm_minutes 1 to {MAX_ALARM_MINUTES}")
    if not 0 <= raw.crl_interval_minutes <= MAX_CRL_INTERVAL or (raw.crl_interval_minutes and not raw.crl_deltas):
        raise _refuse(f"crl_interval_minutes is 0 to {MAX_CRL_INTERVAL}, and 0 without deltas")
    if re.search(r"[\x00-\x1f\x7f-\x9f]", raw.policy_notice):
        raise _refuse("policy_notice is one line")
    if not all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in raw.refused_keys):
        raise _refuse("refused_keys are SHA-256 digests of public keys, in lower-case hexadecimal")
    try:
        person_serial = PersonSerial(raw.person_serial)
    except ValueError as error:
        raise _refuse("person_serial is national-code or opaque") from error
    profiles = pilot_profiles() if raw.profiles is None else parse_profiles(raw.profiles, raw.oid_arc)
    identities = pilot_identities() if raw.identities is None else parse_identities(raw.identities, raw.oid_arc)
    check_roles(profiles, identities)
    return AuthoritySettings(
        status_url=_status_url(raw),
        organization=parse_name(raw.organization),
        country=raw.country,
        oids=OidArc(arc=raw.oid_arc),
        crl_shards=raw.crl_shards,
        person_serial=person_serial,
        admission_authority=None if raw.admission_authority is None else parse_name(raw.admission_authority),
        policy_notice=raw.policy_notice,
        profiles=profiles,
        identities=identities,
        refused_keys=frozenset(bytes.fromhex(digest) for digest in raw.refused_keys),
        backdate=timedelta(seconds=raw.backdate_seconds),
        ocsp_validity=timedelta(hours=raw.ocsp_hours),
        ocsp_refresh=timedelta(hours=raw.ocsp_hours) / 3,
        alarm_changes=raw.alarm_changes,
        alarm_within=timedelta(minutes=raw.alarm_minutes),
        demand_key_proof=raw.demand_key_proof,
        crl_deltas=raw.crl_deltas,
        crl_interval=timedelta(minutes=raw.crl_interval_minutes),
    )
