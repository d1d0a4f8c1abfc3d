"""What the authority's use cases share: database, keys, settings, clock, and its authorities as they are now."""

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from ca.certificate_queries import certificates_above, named
from ca.config import AuthoritySettings
from ca.officers.gate import OfficerGate, RegisterGate
from ca.profiles import ISSUING_AUTHORITIES, IssuerName, ProfileSet
from ca.records import NamedCertificate
from ca.registration_terms import RegistrationTerms
from ca.status.answer_store import AnswerStore
from ca.tbs import Issuer
from hsm.provider import KeyProvider
from pki.audit import AuditAction, AuditEvent
from pki.certificates import Certificate
from pki.clock import Clock
from pki.errors import ErrorCode, NotFound, ServiceError
from pki.identity_scheme import IdentityScheme
from pki.keys import SignatureAlgorithm
from storage.engine import Database

WORKER: Final = "mohr"  # the actor of what nobody asked for
_RELOAD_AFTER: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Responder:
    """The OCSP delegate of one authority; `listed` while it is revoked or on hold itself."""

    certificate: Certificate
    key_label: str
    listed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """One authority of the deployment, ready to issue; the root has no responder, its key is elsewhere."""

    issuer: Issuer
    certificate: Certificate
    key_label: str
    responder: Responder | None


Authorities = MappingProxyType[IssuerName, Authority]


def responder_name(issuer: IssuerName) -> str:
    """Name the OCSP delegate of an authority; also its key's label."""
    return f"ocsp-{issuer}"


def responder_common_name(issuer: IssuerName) -> str:
    """Name the OCSP delegate of an authority in its certificate."""
    return f"Mohr OCSP {issuer.capitalize()}"


def nothing() -> None:
    """Stand in no way; forgive nothing."""


class AuthorityContext:
    """Base of the use cases; safe to share between threads."""

    def __init__(
        self,
        database: Database,
        keys: KeyProvider,
        settings: AuthoritySettings,
        clock: Clock,
        *,
        gate: OfficerGate | None = None,
        before_intent: Callable[[], object] = nothing,
        forgiven: Callable[[], datetime | None] = nothing,
        before_activation: Callable[[], object] = nothing,
        believed: Clock | None = None,
        registration: RegistrationTerms | None = None,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
        answers: AnswerStore | None = None,
    ) -> None:
        """Take officers by `gate`, the register's own by default.

        `before_intent` is asked before any certificate is intended, and raises a ServiceError where none may be.
        `before_activation` is asked likewise before holders make good what waits for them.
        `forgiven` tells up to when lists may be dated that a wrong clock made, as an officer knows.
        OCSP answers are signed by `believed`, a clock that raises Unavailable while it is not to be trusted, and kept
        in `answers`; without it each is signed when it is asked for.
        """
        self._forgiven = forgiven
        self._believed = believed or clock
        self._before_intent = before_intent
        self._before_activation = before_activation
        self._registration = RegistrationTerms() if registration is None else registration
        self._gate = RegisterGate(database, clock) if gate is None else gate
        self._database = database
        self._keys = keys
        self._settings = settings
        self._clock = clock
        self._random_bytes = random_bytes
        self._answers = answers
        self._loading = threading.Lock()
        self._loaded: tuple[datetime, Authorities] | None = None
        self._algorithms: dict[str, SignatureAlgorithm] = {}

    @property
    def profiles(self) -> ProfileSet:
        """The profiles that it issues by."""
        return self._settings.profiles

    @property
    def identities(self) -> IdentityScheme:
        """The professions and identifiers that it knows."""
        return self._settings.identities

    def _now(self) -> datetime:
        return self._clock.now()

    def _authorities(self) -> Authorities:
        """Return the authorities; read again after a minute, so that servers see each other's renewals."""
        now, loaded = self._now(), self._loaded
        if loaded is not None and timedelta() <= now - loaded[0] < _RELOAD_AFTER:
            return loaded[1]
        with self._loading, self._database.read() as connection:
            above = {label.value: certificates_above(connection, label) for label in ISSUING_AUTHORITIES}
            found = self._assemble(named(connection), above)
        self._loaded = (now, found) if found else None
        return found

    def _assemble(self, certificates: dict[str, NamedCertificate], above: dict[str, tuple[bytes, ...]]) -> Authorities:
        found = {}
        for label in IssuerName:
            own = certificates.get(label.value)
            if own is None:
                continue
            certificate = Certificate.parse(own.der)
            issuer = Issuer.of(label, certificate, tuple(map(Certificate.parse, above.get(label.value, ()))))
            delegate = certificates.get(responder_name(label))
            found[label] = Authority(
                issuer=issuer.signing_with(self._algorithm_of(issuer, own.key_label)),
                certificate=certificate,
                key_label=own.key_label,
                responder=None
                if delegate is None
                else Responder(
                    certificate=Certificate.parse(delegate.der),
                    key_label=delegate.key_label,
                    listed=delegate.status.listed,
                ),
            )
        return MappingProxyType(found)

    def _algorithm_of(self, issuer: Issuer, key_label: str) -> SignatureAlgorithm:
        """Ask the device, once, which padding an RSA key signs with; the root's may be elsewhere, signing nothing."""
        if issuer.algorithm is not SignatureAlgorithm.RS256:
            return issuer.algorithm
        if key_label not in self._algorithms:
            try:
                self._algorithms[key_label] = self._keys.signing_key(key_label).algorithm
            except ServiceError:
                if issuer.label is not IssuerName.ROOT:
                    raise
                return issuer.algorithm
        return self._algorithms[key_label]

    def _forget_authorities(self) -> None:
        self._loaded = None

    def _authority(self, name: str) -> Authority:
        found = next((a for label, a in self._authorities().items() if label == name), None)
        if found is None:
            raise NotFound(ErrorCode.NOT_FOUND, "no such authority in this deployment")
        return found


def event(action: AuditAction, at: datetime, actor: str, subject: str, **facts: str | int | bool | None) -> AuditEvent:
    """Make an audit event of the authority."""
    return AuditEvent(action=action, at=at, actor=actor, subject=subject, facts=facts)
