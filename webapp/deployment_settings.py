"""What a deployer decides: the settings in `mohr.toml`, which hold no secret."""

import json
import tomllib
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from ca.activation.desk import LIFE
from ca.notices import REMINDER_DAYS, check_reminder_days
from pki.errors import ErrorCode, InvalidInput
from pki.oids import PILOT_ARC
from webapp.callers_allowed import LOOPBACK, networks
from webapp.certificate_settings import CertificateSettings, read_certificate_settings
from webapp.registration_settings import RegistrationSettings, read_registration_settings
from webapp.status_settings import StatusSettings, read_status_settings

MIN_FREE_MB: Final = 200
ACTIVATION_DAYS: Final = LIFE.days
MAX_ACTIVATION_DAYS: Final = 365


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentSettings:
    """What a deployer decides. `public_url` is baked into CDP and AIA of every certificate.

    `status_url` takes its place there when the public URL is https: lists and responders answer over plain HTTP.
    `profiles` and `identities` are the deployer's own profile set and identity scheme (`profiles.toml` and
    `identities.toml`, beside `mohr.toml`), None for the pilot's.
    Holders are reminded `reminder_days` before a certificate ends; their activation codes last `activation_days`.
    `refused_keys_file` lists keys that are never certified, by a path from HOME.
    Nothing is signed with less than `min_free_mb` megabytes free for database, journals and published files.
    `/metrics` answers the networks of `metrics_allow` alone.
    """

    public_url: str
    exchange_url: str
    organization: str
    oid_arc: str
    database_url: str | None
    production: bool
    status_url: str | None = None
    profiles: bytes | None = field(default=None, repr=False)
    identities: bytes | None = field(default=None, repr=False)
    reminder_days: tuple[int, ...] = REMINDER_DAYS
    activation_days: int = ACTIVATION_DAYS
    min_free_mb: int = MIN_FREE_MB
    refused_keys_file: str | None = None
    metrics_allow: tuple[str, ...] = LOOPBACK
    certificates: CertificateSettings = field(default_factory=CertificateSettings)
    registration: RegistrationSettings = field(default_factory=RegistrationSettings)
    status: StatusSettings = field(default_factory=StatusSettings)

    def __post_init__(self) -> None:
        for url in (self.public_url, self.exchange_url, self.status_url or self.public_url):
            if not _is_base_url(url):
                raise InvalidInput(
                    ErrorCode.INPUT_MALFORMED, "a public URL is http(s)://host[:port][/path] without a slash"
                )
        networks(self.metrics_allow)

    @property
    def public_bind(self) -> str:
        """Where the pilot listens so that its public URL is answered: HOST:PORT."""
        parts = urlsplit(self.public_url)
        host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else str(parts.hostname)
        return f"{host}:{parts.port or {'https': 443}.get(parts.scheme, 80)}"

    @property
    def public_host(self) -> str:
        """The host name of the public URL."""
        return str(urlsplit(self.public_url).hostname)

    @property
    def exchange_port(self) -> int:
        """The port of the mutual-TLS listener."""
        return urlsplit(self.exchange_url).port or 443


def _is_base_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        named = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return named and not parts.query and not url.endswith("/")


def parse_settings(data: bytes, *, profiles: bytes | None, identities: bytes | None) -> DeploymentSettings:
    """Read `mohr.toml`, whose neighbours are `profiles` and `identities`; InvalidInput names the member."""
    try:
        table = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:  # not TOML, not UTF-8, or nested without end
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, f"mohr.toml cannot be read: {error}") from error

    def text(name: str, default: str | None = None) -> str:
        value = table.get(name, default)
        if not isinstance(value, str):
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, f"mohr.toml: `{name}` must be text")
        return value

    return DeploymentSettings(
        public_url=text("public_url"),
        exchange_url=text("exchange_url"),
        organization=text("organization"),
        oid_arc=text("oid_arc", PILOT_ARC),
        database_url=text("database_url") if "database_url" in table else None,
        status_url=text("status_url") if "status_url" in table else None,
        production=table.get("production") is True,
        reminder_days=_reminder_days(table),
        activation_days=_activation_days(table.get("activation_days", ACTIVATION_DAYS)),
        profiles=profiles,
        identities=identities,
        refused_keys_file=text("refused_keys_file") if "refused_keys_file" in table else None,
        certificates=read_certificate_settings(table.get("certificates", {})),
        registration=read_registration_settings(table.get("registration", {})),
        status=read_status_settings(table.get("status", {})),
        min_free_mb=_megabytes(table.get("min_free_mb", MIN_FREE_MB)),
        metrics_allow=_texts(table, "metrics_allow", LOOPBACK),
    )


def _texts(table: dict[str, Any], name: str, default: tuple[str, ...]) -> tuple[str, ...]:
    values = table.get(name, list(default))
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, f"mohr.toml: `{name}` must be a list of texts")
    return tuple(values)


def _megabytes(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "mohr.toml: `min_free_mb` must be a whole number")
    return value


def _reminder_days(table: dict[str, Any]) -> tuple[int, ...]:
    days = table.get("reminder_days", list(REMINDER_DAYS))
    if not isinstance(days, list) or not all(type(day) is int for day in days):
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "mohr.toml: `reminder_days` must be whole numbers")
    return check_reminder_days(days)


def _activation_days(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_ACTIVATION_DAYS:
        raise InvalidInput(
            ErrorCode.INPUT_MALFORMED, f"mohr.toml: `activation_days` is a number from 1 to {MAX_ACTIVATION_DAYS}"
        )
    return value


def settings_toml(settings: DeploymentSettings) -> bytes:
    """Write settings as `parse_settings` reads them."""
    values = {
        "public_url": settings.public_url,
        "exchange_url": settings.exchange_url,
        "organization": settings.organization,
        "oid_arc": settings.oid_arc,
        **({"database_url": settings.database_url} if settings.database_url else {}),
        **({"status_url": settings.status_url} if settings.status_url else {}),
        **({"refused_keys_file": settings.refused_keys_file} if settings.refused_keys_file else {}),
    }
    # JSON's text literals are TOML basic strings.
    lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in values.items()]
    if settings.min_free_mb != MIN_FREE_MB:
        lines.append(f"min_free_mb = {settings.min_free_mb}")
    if settings.activation_days != ACTIVATION_DAYS:
        lines.append(f"activation_days = {settings.activation_days}")
    if settings.reminder_days != REMINDER_DAYS:
        lines.append(f"reminder_days = {list(settings.reminder_days)}")
    if settings.metrics_allow != LOOPBACK:
        lines.append(f"metrics_allow = {json.dumps(list(settings.metrics_allow))}")
    lines.append(f"production = {'true' if settings.production else 'false'}")
    tables = {
        "certificates": settings.certificates.given,
        "registration": settings.registration.given,
        "status": settings.status.given,
    }
    for title, members in tables.items():  # last: a table ends what is outside of it
        if members:
            lines.append(f"[{title}]")
            lines += [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in members.items()]
    return ("\n".join(lines) + "\n").encode()
