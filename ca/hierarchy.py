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

from ca import repository
from ca import status_repository as status_rows
from ca.config import AuthoritySettings
from ca.context import event, responder_common_name, responder_name
from ca.crl import CrlPlan, PublishedCrl, build_tbs_crl, check_plan
from ca.issuance import PreparedCertificate, prepare, sign_prepared
from ca.profiles import ISSUING_AUTHORITIES, IssuerName, ProfileName, profile_named
from ca.signing import sign_structures
from ca.subjects import service_subject
from ca.tbs import SERIAL_OCTETS, CertificateContent, Issuer, serial_from, validity
from hsm.provider import BindsIssuers, KeyProvider, KeyPurpose, spki_of
from pki.audit import AuditAction
from pki.certificates import Certificate
from pki.clock import Clock
from pki.errors import Conflict, ErrorCode
from pki.keys import PublicKey, SignatureAlgorithm
from storage.engine import Database

ROOT_KEY: Final = "root"
TSA: Final = "tsa"
TOKEN_KEY: Final = "token"
CHECKPOINT_KEY: Final = "seal"
SERVICE_SEAL: Final = "service-seal"


def authority_key(label: IssuerName) -> str:
    """Name the key of an issuing authority."""
    return f"ca-{label}"


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
    ) -> None:
        self._root_keys, self._service_keys = root_keys, service_keys
        self._settings, self._now, self._random_bytes = settings, now, random_bytes
        self.made: list[CeremonyCertificate] = []

    def root(self) -> Issuer:
        public_key = self._root_keys.generate(ROOT_KEY, SignatureAlgorithm.ES384, KeyPurpose.ROOT)
        name = service_subject(self._settings, "Mohr Pilot Root").name
        issuer = Issuer.self_signed(IssuerName.ROOT, name, public_key)
        _bind(self._root_keys, ROOT_KEY, issuer)
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
        return Issuer.of(IssuerName.ROOT, certificate)

    def issuing_authority(self, label: IssuerName, root: Issuer) -> Issuer:
        key = authority_key(label)
        public_key = self._service_keys.generate(key, SignatureAlgorithm.ES256, KeyPurpose.CERTIFICATE_AUTHORITY)
        certificate = self._certify(
            label.value,
            key,
            public_key,
            profile=ProfileName.ISSUING_CA,
            common_name=f"Mohr Pilot {label.capitalize()} CA",
            issuer=root,
            signer=(self._root_keys, ROOT_KEY),
            authority=label,
        )
        issuer = Issuer.of(label, certificate)
        _bind(self._service_keys, key, issuer)
        return issuer

    def service(self, name: str, issuer: Issuer, profile: ProfileName, purpose: KeyPurpose, common_name: str) -> None:
        public_key = self._service_keys.generate(name, SignatureAlgorithm.ES256, purpose)
        if purpose is KeyPurpose.OCSP:
            _bind(self._service_keys, name, issuer)
        signer = (self._service_keys, authority_key(issuer.label))
        self._certify(name, name, public_key, profile=profile, common_name=common_name, issuer=issuer, signer=signer)

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
        found = profile_named(profile)
        not_before, not_after = validity(found, issuer, self._now, self._settings)
        content = CertificateContent(
            profile=found,
            subject=service_subject(self._settings, common_name),
            issuer=issuer,
            public_key=public_key,
            spki_der=spki_of(public_key),
            serial=serial_from(self._random_bytes(SERIAL_OCTETS)),
            not_before=not_before,
            not_after=not_after,
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
            entries=(),
        )
        tbs = build_tbs_crl(plan)
        check_plan(tbs, plan)
        return CeremonyCrl(
            plan=plan, tbs=tbs, der=sign_structures(self._root_keys, ROOT_KEY, root.public_key, [tbs])[0]
        )


def _bind(keys: KeyProvider, label: str, issuer: Issuer) -> None:
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
) -> Hierarchy:
    """Make all keys and certificates of a new deployment; Conflict (KeyExists) when a key is there already."""
    ceremony = _Ceremony(root_keys, service_keys, settings, clock.now(), random_bytes)
    root = ceremony.root()
    issuers = {label: ceremony.issuing_authority(label, root) for label in ISSUING_AUTHORITIES}
    for label, issuer in issuers.items():
        name = responder_name(label)
        ceremony.service(name, issuer, ProfileName.OCSP, KeyPurpose.OCSP, responder_common_name(label))
    systems = issuers[IssuerName.SYSTEMS]
    ceremony.service(TSA, systems, ProfileName.TSA, KeyPurpose.TIMESTAMP, "Mohr Pilot TSU 1")
    ceremony.service(SERVICE_SEAL, systems, ProfileName.SEAL, KeyPurpose.SEAL, "Mohr Pilot Seal")
    service_keys.generate(TOKEN_KEY, SignatureAlgorithm.ES256, KeyPurpose.TOKEN)
    service_keys.generate(CHECKPOINT_KEY, SignatureAlgorithm.EDDSA, KeyPurpose.SEAL)
    return Hierarchy(
        certificates=tuple(ceremony.made),
        root_crl=ceremony.root_crl(root),
        other_keys=(TOKEN_KEY, CHECKPOINT_KEY),
    )


def adopt(database: Database, hierarchy: Hierarchy, settings: AuthoritySettings, clock: Clock, actor: str) -> None:
    """Store what a ceremony made, in one transaction; Conflict when the database has a hierarchy already."""
    now = clock.now()
    with database.begin() as unit:
        if repository.named(unit.connection):
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
        repository.complete(unit.connection, signed, now)
        for made, row in zip(hierarchy.certificates, rows, strict=True):
            repository.name_certificate(unit.connection, made.name, row["serial"], made.key_label, now)
        crl = hierarchy.root_crl
        status_rows.reserve_crl(unit.connection, crl.plan, 0, crl.tbs)
        status_rows.store_crl(unit.connection, PublishedCrl.of(crl.plan, 0, crl.der))
