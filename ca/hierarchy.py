"""The ceremony that makes a deployment's authorities: keys, root, issuing CAs, responders, TSA, seal.

The root's key is made and used in its own provider, which the running service never opens. Nothing is in the
database yet: the ceremony's result is stored by `adopt`, before the deployment serves anyone; a ceremony that
breaks off leaves keys and no deployment.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Final

from ca import certificate_queries, repository
from ca.config import AuthoritySettings
from ca.context import event, responder_common_name, responder_name
from ca.issuance import PreparedCertificate, prepare, sign_prepared
from ca.issuing.key_holders import KeyHolder, claim_keys
from ca.profiles import ISSUING_AUTHORITIES, IssuerName, ProfileName
from ca.signing import sign_structures
from ca.status import changes, list_rows
from ca.status.crl import CrlPlan, build_tbs_crl, check_plan
from ca.subjects import service_subject
from ca.tbs import SERIAL_OCTETS, CertificateContent, Issuer, serial_from, validity
from hsm.provider import BindsIssuers, KeyProvider, KeyPurpose, spki_of
from pki.audit import AuditAction
from pki.certificates import Certificate
from pki.clock import Clock
from pki.errors import Conflict, ErrorCode
from pki.keys import PublicKey, SignatureAlgorithm
from pki.signatures import AnyPublicKey
from storage.engine import Database

ROOT_KEY: Final = "root"
TSA: Final = "tsa"
TOKEN_KEY: Final = "token"
CHECKPOINT_KEY: Final = "seal"
SERVICE_SEAL: Final = "service-seal"


def authority_key(label: IssuerName) -> str:
    """Name the key of an issuing authority."""
    return f"ca-{label}"


def authority_common_name(label: IssuerName) -> str:
    """Name a pilot authority in its certificate."""
    return f"Mohr Pilot {label.capitalize()} CA"


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedService:
    """A service of the deployment with a certificate; its name is its key's label too."""

    name: str
    issuer: IssuerName
    profile: ProfileName
    purpose: KeyPurpose
    common_name: str


SERVICES: Final = (
    *(
        NamedService(
            name=responder_name(label),
            issuer=label,
            profile=ProfileName.OCSP,
            purpose=KeyPurpose.OCSP,
            common_name=responder_common_name(label),
        )
        for label in ISSUING_AUTHORITIES
    ),
    NamedService(
        name=TSA,
        issuer=IssuerName.SYSTEMS,
        profile=ProfileName.TSA,
        purpose=KeyPurpose.TIMESTAMP,
        common_name="Mohr Pilot TSU 1",
    ),
    NamedService(
        name=SERVICE_SEAL,
        issuer=IssuerName.SYSTEMS,
        profile=ProfileName.SEAL,
        purpose=KeyPurpose.SEAL,
        common_name="Mohr Pilot Seal",
    ),
)
# The service's keys that no certificate speaks of.
BARE_KEYS: Final = (
    (TOKEN_KEY, SignatureAlgorithm.ES256, KeyPurpose.TOKEN),
    (CHECKPOINT_KEY, SignatureAlgorithm.EDDSA, KeyPurpose.SEAL),
)


def own_content(
    profile: ProfileName,
    common_name: str,
    public_key: AnyPublicKey,
    *,
    issuer: Issuer,
    serial: int,
    now: datetime,
    settings: AuthoritySettings,
    authority: IssuerName | None = None,
) -> CertificateContent:
    """Say what the certificate of an authority (`authority`: which one) or service of the deployment will say."""
    found = settings.profiles.to_issue(profile)
    not_before, not_after = validity(found, issuer, now, settings)
    return CertificateContent(
        profile=found,
        subject=service_subject(settings, common_name),
        issuer=issuer,
        public_key=public_key,
        spki_der=spki_of(public_key),
        serial=serial,
        not_before=not_before,
        not_after=not_after,
        authority=authority,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CeremonyCertificate:
    """A certificate that the ceremony made, and what its row says."""

    name: str
    key_label: str
    prepared: PreparedCertificate
    der: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CeremonyCrl:
    """The root's first list."""

    plan: CrlPlan
    tbs: bytes
    der: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Hierarchy:
    """What a ceremony made: certificates, the root's first CRL, and the labels of the keys without certificates."""

    certificates: tuple[CeremonyCertificate, ...] = field(repr=False)
    root_crl: CeremonyCrl = field(repr=False)
    other_keys: tuple[str, ...]

    def certificate(self, name: str) -> bytes:
        """Return the certificate (DER) of `root`, an issuing authority, `ocsp-…`, `tsa` or `service-seal`."""
        return next(made.der for made in self.certificates if made.name == name)


class _Ceremony:
    """One run: generates keys and signs certificates, top down."""

    def __init__(
        self,
        root_keys: KeyProvider,
        service_keys: KeyProvider,
        settings: AuthoritySettings,
        now: datetime,
        random_bytes: Callable[[int], bytes],
        algorithm: SignatureAlgorithm | None,
    ) -> None:
        self._root_keys, self._service_keys = root_keys, service_keys
        self._settings, self._now, self._random_bytes = settings, now, random_bytes
        self._algorithm = algorithm
        self.made: list[CeremonyCertificate] = []

    def root(self) -> Issuer:
        algorithm = self._algorithm or SignatureAlgorithm.ES384
        public_key = self._root_keys.generate(ROOT_KEY, algorithm, KeyPurpose.ROOT)
        name = service_subject(self._settings, "Mohr Pilot Root").name
        issuer = Issuer.self_signed(IssuerName.ROOT, name, public_key).signing_with(algorithm)
        bind_issuer(self._root_keys, ROOT_KEY, issuer)
        certificate = self._certify(
            "root",
            ROOT_KEY,
            public_key,
            profile=ProfileName.ROOT,
            common_name="Mohr Pilot Root",
            issuer=issuer,
            signer=(self._root_keys, ROOT_KEY),
            authority=IssuerName.ROOT,
        )
        return Issuer.of(IssuerName.ROOT, certificate).signing_with(algorithm)

    def issuing_authority(self, label: IssuerName, root: Issuer) -> Issuer:
        key = authority_key(label)
        algorithm = self._algorithm or SignatureAlgorithm.ES256
        public_key = self._service_keys.generate(key, algorithm, KeyPurpose.CERTIFICATE_AUTHORITY)
        certificate = self._certify(
            label.value,
            key,
            public_key,
            profile=ProfileName.ISSUING_CA,
            common_name=authority_common_name(label),
            issuer=root,
            signer=(self._root_keys, ROOT_KEY),
            authority=label,
        )
        issuer = Issuer.of(label, certificate).signing_with(algorithm)
        bind_issuer(self._service_keys, key, issuer)
        return issuer

    def service(self, service: NamedService, issuer: Issuer) -> None:
        public_key = self._service_keys.generate(service.name, SignatureAlgorithm.ES256, service.purpose)
        if service.purpose is KeyPurpose.OCSP:
            bind_issuer(self._service_keys, service.name, issuer)
        self._certify(
            service.name,
            service.name,
            public_key,
            profile=service.profile,
            common_name=service.common_name,
            issuer=issuer,
            signer=(self._service_keys, authority_key(issuer.label)),
        )

    def _certify(
        self,
        name: str,
        key_label: str,
        public_key: PublicKey,
        *,
        profile: ProfileName,
        common_name: str,
        issuer: Issuer,
        signer: tuple[KeyProvider, str],
        authority: IssuerName | None = None,
    ) -> Certificate:
        content = own_content(
            profile,
            common_name,
            public_key,
            issuer=issuer,
            serial=serial_from(self._random_bytes(SERIAL_OCTETS)),
            now=self._now,
            settings=self._settings,
            authority=authority,
        )
        prepared = prepare(content, self._settings)
        der = sign_prepared([prepared], *signer, issuer)[0]
        self.made.append(CeremonyCertificate(name=name, key_label=key_label, prepared=prepared, der=der))
        return Certificate.parse(der)

    def root_crl(self, root: Issuer) -> CeremonyCrl:
        now = self._now.replace(microsecond=0)
        plan = CrlPlan(
            issuer=root,
            url=None,
            number=1,
            this_update=now,
            next_update=now + self._settings.root_crl_validity,
        )
        tbs = build_tbs_crl(plan)
        check_plan(tbs, plan)
        return CeremonyCrl(
            plan=plan, tbs=tbs, der=sign_structures(self._root_keys, ROOT_KEY, root.public_key, [tbs])[0]
        )


def bind_issuer(keys: KeyProvider, label: str, issuer: Issuer) -> None:
    """Hold a key to its issuer's name, where the provider can."""
    if isinstance(keys, BindsIssuers):
        keys.set_issuer(label, issuer.name_der)


def create_hierarchy(
    root_keys: KeyProvider,
    service_keys: KeyProvider,
    settings: AuthoritySettings,
    clock: Clock,
    *,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    algorithm: SignatureAlgorithm | None = None,
) -> Hierarchy:
    """Make all keys and certificates of a new deployment; Conflict (KeyExists) when a key is there already.

    Root and authorities sign with `algorithm`; by default the root with P-384 and the others with P-256.
    """
    ceremony = _Ceremony(root_keys, service_keys, settings, clock.now(), random_bytes, algorithm)
    root = ceremony.root()
    issuers = {authority: ceremony.issuing_authority(authority, root) for authority in ISSUING_AUTHORITIES}
    for service in SERVICES:
        ceremony.service(service, issuers[service.issuer])
    for label, own_algorithm, purpose in BARE_KEYS:
        service_keys.generate(label, own_algorithm, purpose)
    return Hierarchy(
        certificates=tuple(ceremony.made),
        root_crl=ceremony.root_crl(root),
        other_keys=tuple(label for label, _algorithm, _purpose in BARE_KEYS),
    )


def adopt(database: Database, hierarchy: Hierarchy, settings: AuthoritySettings, clock: Clock, actor: str) -> None:
    """Store what a ceremony made, in one transaction; Conflict when the database has a hierarchy already."""
    now = clock.now()
    with database.begin() as unit:
        if certificate_queries.named(unit.connection):
            raise Conflict(ErrorCode.DEPLOYMENT_EXISTS, "the database has its authorities already")
        rows, signed = [], {}
        for made in hierarchy.certificates:
            content = made.prepared.content
            row = repository.intent_row(
                made.prepared,
                spki_sha256=sha256(content.spki_der).digest(),
                file_id=None,
                holder=made.name,
                name=made.name,
                shard=settings.shard_of(content.issuer.label, content.serial),
                actor=actor,
                at=now,
            )
            rows.append(row)
            signed[row["serial"]] = made.der
            unit.audit.record(event(AuditAction.KEY_GENERATED, now, actor, made.key_label))
            facts = {"issuer": row["issuer"], "profile": row["profile"], "sha256": sha256(made.der).hexdigest()}
            unit.audit.record(event(AuditAction.CERTIFICATE_ISSUED, now, actor, row["serial"], **facts))
        for label in hierarchy.other_keys:
            unit.audit.record(event(AuditAction.KEY_GENERATED, now, actor, label))
        repository.insert_intents(unit.connection, rows)
        claim_keys(unit.connection, [KeyHolder.of(row) for row in rows])
        repository.complete(unit.connection, signed, now)
        for made, row in zip(hierarchy.certificates, rows, strict=True):
            repository.name_certificate(unit.connection, made.name, row["serial"], made.key_label, now)
        crl = hierarchy.root_crl
        position, first = changes.position(unit.connection), (crl.plan.issuer.label.value, 0, crl.plan.number)
        digest = sha256(crl.tbs).digest()
        list_rows.reserve_crl(unit.connection, crl.plan, 0, digest, entries=0, position=position)
        list_rows.store_crl(unit.connection, first, crl.der, crl.tbs)
