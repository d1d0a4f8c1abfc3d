"""A whole exchange in one process: authority, registry file, connection tokens and centres that ask for access.

The authority is the real one with keys in memory; its ceremony is done once per session and copied.
"""

import json
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy import select, text

from ca.config import AuthoritySettings, RawAuthoritySettings, validate_settings
from ca.hierarchy import adopt, create_hierarchy
from ca.officers.identity import Officer
from ca.registration import KeyStorage
from ca.service import CertificateAuthority
from ca.tokens.assertions import ASSERTION_TYPE
from ca.tokens.config import TokenSettings
from ca.tokens.oauth_answers import OAuthResponse
from ca.tokens.registry_file import FileRegistry, default_centres, registry_json
from ca.tokens.service import TokenService
from hsm.soft import UnsafeSoftKey, UnsafeSoftKeys
from pki.certificates import Certificate
from pki.compact_jws import sign_compact
from pki.csr import build_csr
from pki.gateway import TokenDecision, verify_access_token
from pki.identity_file import pilot_identities
from pki.jose import b64url
from pki.jwks import KeySet, thumbprint
from pki.keys import SignatureAlgorithm
from storage.engine import Database, open_database
from storage.ledger_tables import audit_events
from storage.migrate import upgrade
from tests.support.officers import EveryOfficer

START = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
ISSUER = "https://mohr.example"
EXCHANGE = "https://exchange.example:8443"
CLINIC, CLINIC_SYSTEM = "pilot-clinic-1", "his-demo-1"
PHARMACY, PHARMACY_SYSTEM = "pilot-pharmacy-1", "his-demo-2"
CLERK, FIRST, SECOND = (Officer(id=name) for name in ("clerk-parsa", "officer-akbari", "officer-bahrami"))


@dataclass
class MovableClock:
    """A clock that stands still until it is moved."""

    at: datetime = START

    def now(self) -> datetime:
        return self.at

    def move(self, by: timedelta) -> None:
        self.at += by


@dataclass(frozen=True, kw_only=True)
class Ceremony:
    """What is made once: a database with its authorities, and their keys."""

    url: str
    keys: UnsafeSoftKeys
    at: datetime

    @staticmethod
    def hold(folder: Path, at: datetime = START, url: str | None = None) -> "Ceremony":
        clock, settings, url = MovableClock(at), authority_settings(), url or f"sqlite:///{folder / 'ceremony.db'}"
        root_keys, service_keys = UnsafeSoftKeys(clock), UnsafeSoftKeys(clock)
        hierarchy = create_hierarchy(root_keys, service_keys, settings, clock)
        database = open_database(url)
        upgrade(database)
        adopt(database, hierarchy, settings, clock, "ceremony")
        database.close()
        return Ceremony(url=url, keys=service_keys, at=at)


def authority_settings() -> AuthoritySettings:
    return validate_settings(RawAuthoritySettings(public_url=ISSUER, organization="Mohr Test"))


@dataclass(kw_only=True)
class Centre:
    """A connected centre: its key, its certificate, and how it asks."""

    exchange: "Exchange"
    key: UnsafeSoftKey
    client_id: str
    certificate: Certificate

    def claims(self, **changes: Any) -> dict[str, Any]:
        """The claims of a good assertion with `changes`; a None takes a claim away."""
        now = int(self.exchange.clock.now().timestamp())
        found = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": self.exchange.settings.issuer,
            "iat": now,
            "exp": now + 60,
            "jti": secrets.token_hex(8),
            **changes,
        }
        return {name: value for name, value in found.items() if value is not None}

    def header(self, **changes: Any) -> dict[str, Any]:
        """The header of a good assertion with `changes`; a None takes a member away."""
        found = {
            "typ": "client-authentication+jwt",
            "alg": str(self.key.algorithm),
            "kid": thumbprint(self.key.public_key()),
            "x5t#S256": b64url(self.certificate.sha256),
            **changes,
        }
        return {name: value for name, value in found.items() if value is not None}

    def assertion(
        self, header: Mapping[str, Any] | None = None, *, key: UnsafeSoftKey | None = None, **claims: Any
    ) -> str:
        """Sign an assertion."""
        parts = (header or self.header(), self.claims(**claims))
        message = ".".join(b64url(json.dumps(part).encode()) for part in parts)
        return sign_compact(message.encode(), key or self.key)

    def form(self, assertion: str | None = None, **changes: Any) -> dict[str, list[str]]:
        """The form of a token request with `changes`; a None takes a parameter away, a list repeats it."""
        found: dict[str, Any] = {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion or self.assertion(),
            "scope": "hix.submit",
            **changes,
        }
        return {
            name: value if isinstance(value, list) else [value] for name, value in found.items() if value is not None
        }

    def ask(self, assertion: str | None = None, *, peer: bytes | None = None, **changes: Any) -> OAuthResponse:
        """Ask the token endpoint."""
        return self.exchange.service.oauth.token_endpoint(self.form(assertion, **changes), peer)

    def access_token(self, **changes: Any) -> str:
        """Ask for an access token that is granted."""
        answer = self.ask(**changes)
        assert answer.status == 200, answer
        assert answer.json is not None
        return str(answer.json["access_token"])


@dataclass(kw_only=True)
class Exchange:
    """A deployment: its database, and a folder for everything else."""

    folder: Path
    url: str
    keys: UnsafeSoftKeys
    clock: MovableClock = field(default_factory=MovableClock)
    settings: TokenSettings = field(
        default_factory=lambda: TokenSettings(issuer=ISSUER, exchange_url=EXCHANGE, burst=10_000)
    )

    @staticmethod
    def of(ceremony: Ceremony, folder: Path) -> "Exchange":
        """Begin a deployment with the ceremony's own database."""
        exchange = Exchange(folder=folder, url=ceremony.url, keys=ceremony.keys, clock=MovableClock(ceremony.at))
        exchange.registry_file.write_bytes(registry_json(default_centres(ceremony.at)))
        return exchange

    @staticmethod
    def copy(ceremony: Ceremony, folder: Path) -> "Exchange":
        """Begin a deployment with a copy of the ceremony's SQLite file."""
        shutil.copy(ceremony.url.removeprefix("sqlite:///"), folder / "mohr.db")
        return Exchange.of(replace(ceremony, url=f"sqlite:///{folder / 'mohr.db'}"), folder)

    def node(self) -> "Exchange":
        """A second server of the same deployment."""
        return Exchange(folder=self.folder, url=self.url, keys=self.keys, clock=self.clock, settings=self.settings)

    def again(self) -> "Exchange":
        """The same deployment after a restart."""
        self.database.close()
        return self.node()

    @property
    def registry_file(self) -> Path:
        return self.folder / "centres.json"

    @cached_property
    def database(self) -> Database:
        return open_database(self.url)

    @cached_property
    def authority(self) -> CertificateAuthority:
        return CertificateAuthority(self.database, self.keys, authority_settings(), self.clock, gate=EveryOfficer())

    @cached_property
    def service(self) -> TokenService:
        registry = FileRegistry(self.registry_file, pilot_identities())
        return TokenService(
            self.database, self.authority, self.keys, registry, self.settings, self.clock, EveryOfficer()
        )

    def approved(self, siam_id: str = CLINIC, system_id: str = CLINIC_SYSTEM) -> str:
        """Have a token requested and approved; return its id."""
        token = self.service.request(siam_id, system_id, KeyStorage.SOFTWARE, CLERK)
        self.service.approve(token.id, FIRST)
        self.service.approve(token.id, SECOND)
        return token.id

    def centre(self, siam_id: str = CLINIC, system_id: str = CLINIC_SYSTEM, key: UnsafeSoftKey | None = None) -> Centre:
        """Connect a centre with `key`, a new one by default."""
        token_id, own = self.approved(siam_id, system_id), key or UnsafeSoftKey.generate(SignatureAlgorithm.ES256)
        activation = self.service.activate(token_id, build_csr(own, "wish"), CLERK)
        certificate = Certificate.parse(activation.certificate_der)
        return Centre(exchange=self, key=own, client_id=token_id, certificate=certificate)

    def say(self, siam_id: str, light: str, **members: Any) -> None:
        """Have the registry say something else of a light: `operating_licence`, `siam`, or a system id."""
        document = json.loads(self.registry_file.read_bytes())
        centre = next(entry for entry in document["centres"] if entry["siam_id"] == siam_id)
        (centre if light in centre else centre["systems"])[light].update(members)
        self.registry_file.write_text(json.dumps(document), encoding="utf-8")

    def silence(self) -> None:
        """Have the registry say nothing at all."""
        self.registry_file.unlink(missing_ok=True)

    def events(self, subject: str | None = None) -> list[tuple[str, dict[str, Any]]]:
        """The audit events, oldest first, as (action, facts with actor and subject)."""
        with self.database.read() as connection:
            order = text("rowid" if self.database.dialect == "sqlite" else "ctid")
            rows = connection.execute(select(audit_events).order_by(order)).all()
        return [
            (row.action, {**json.loads(row.facts), "actor": row.actor, "subject": row.subject})
            for row in rows
            if subject in (None, row.subject)
        ]

    def gateway(self, token: str, certificate_der: bytes | None) -> TokenDecision:
        """Ask an offline gateway with the keys that are published now."""
        keys = KeySet.parse(self.service.oauth.jwks(), self.clock.now())
        return verify_access_token(
            token, keys, self.settings.issuer, self.settings.audience, certificate_der, self.clock.now()
        )
