"""The place that picks implementations: a deployment's parts, opened and put together."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from ca.activation.desk import ActivationDesk
from ca.bulk.desk import BulkDesk
from ca.config import AuthoritySettings, RawAuthoritySettings, validate_settings
from ca.context import WORKER
from ca.custody_policy import OPERATOR
from ca.custody_policy import WORKER as BACKGROUND
from ca.est.enrolment import EnrolmentDesk
from ca.est.secret_desk import SecretDesk
from ca.evidence.desk import EvidenceDesk
from ca.evidence.repository import OF_FILES, OF_REVOCATIONS
from ca.evidence.revocations import RevocationEvidence
from ca.evidence.sealing import KeySealer
from ca.evidence.store import ScanStore
from ca.identity_register import IdentityRegister
from ca.inventory.desk import InventoryDesk
from ca.inventory.export import ExportDesk
from ca.inventory.statistics import StatisticsDesk
from ca.issuing.key_proofs import NonceDesk
from ca.issuing.recovery import Recovery
from ca.issuing.renewal import RenewalDesk
from ca.linting.desk import LintDesk
from ca.linting.pkilint_judge import PkilintJudge
from ca.linting.verdicts import Judge
from ca.officers.desk import OfficerDesk
from ca.officers.gate import OfficerGate, RegisterGate
from ca.profile_register import ProfileRegister
from ca.profiles import ISSUING_AUTHORITIES
from ca.recovery.desk import RecoveryDesk
from ca.recovery.guard import RecoveryGuard, SettledClock
from ca.registration_terms import RegistrationTerms
from ca.registries.pilot_file import pilot_registries
from ca.service import CertificateAuthority
from ca.status.acts.compromise import CompromiseDesk
from ca.status.acts.holders import HolderDesk
from ca.status.acts.notices import HolderNotices
from ca.status.acts.proposals import ProposalDesk
from ca.status.acts.suspension import SuspensionDesk
from ca.status.acts.watch import StatusAlarms
from ca.status.answer_store import AnswerStore
from ca.tokens.config import TokenSettings
from ca.tokens.registry_file import FileRegistry
from ca.tokens.service import TokenService
from hsm.client import CustodianClient
from hsm.errors import HsmUnavailable
from hsm.provider import KeyProvider
from pki.clock import Clock
from pki.errors import ErrorCode, Unavailable
from pki.identity_file import parse_identities, pilot_identities
from pki.identity_scheme import IdentityScheme
from pki.oids import OidArc
from storage.clock_guard import BelievedClock, ClockGuard
from storage.engine import Database, open_database
from storage.headroom import Headroom
from storage.ledger import Ledger
from storage.migrate import bring_up
from webapp.custody import sockets_for
from webapp.deployment import Deployment
from webapp.deployment_settings import DeploymentSettings
from webapp.evidence_key import EvidenceKey
from webapp.guards import before_intent, clock_guard, headroom
from webapp.outbox import Outbox
from webapp.profile_limits import follow_profile_limits
from webapp.promises import StatusPromises, stored_promises
from webapp.published_lists import PublishedLists
from webapp.publishing import Publishing
from webapp.recovery_mark import recovery_guard_of
from webapp.separation import custodian_for_us


class RealClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the current instant, aware, in UTC."""
        return datetime.now(UTC)


def authority_settings(settings: DeploymentSettings, refused_keys: tuple[str, ...] = ()) -> AuthoritySettings:
    """Return what the authority is told of a deployment's settings."""
    raw = RawAuthoritySettings(
        public_url=settings.public_url,
        status_url=settings.status_url,
        organization=settings.organization,
        oid_arc=settings.oid_arc,
        profiles=settings.profiles,
        identities=settings.identities,
        refused_keys=refused_keys,
        **settings.certificates.given,
        **settings.status.of_authority,
    )
    return validate_settings(raw)


def identities_of(settings: DeploymentSettings) -> IdentityScheme:
    """Return the professions and identifiers of a deployment, whatever its profiles say."""
    own = settings.identities
    return pilot_identities() if own is None else parse_identities(own, settings.oid_arc)


def token_settings(settings: DeploymentSettings) -> TokenSettings:
    """Return what the token service is told of a deployment's settings."""
    return TokenSettings(issuer=settings.public_url, exchange_url=settings.exchange_url)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts(Publishing):
    """The open parts of one deployment; `clock` is the machine's, what is recorded is dated by `dates`."""

    deployment: Deployment
    settings: DeploymentSettings
    clock: Clock
    dates: Clock
    database: Database
    ledger: Ledger
    keys: KeyProvider
    authority: CertificateAuthority
    recovery: Recovery
    recovery_guard: RecoveryGuard
    recoveries: RecoveryDesk
    renewals: RenewalDesk
    tokens: TokenService
    room: Headroom
    clock_guard: ClockGuard
    gate: OfficerGate
    officers: OfficerDesk
    bulk: BulkDesk
    inventory: InventoryDesk
    exports: ExportDesk
    statistics: StatisticsDesk
    linting: LintDesk
    est: EnrolmentDesk
    activation: ActivationDesk
    suspension: SuspensionDesk
    told: HolderNotices
    holders: HolderDesk
    proposals: ProposalDesk
    status_alarms: StatusAlarms
    compromises: CompromiseDesk
    secrets: SecretDesk
    evidence: EvidenceDesk
    revocation_evidence: RevocationEvidence
    nonces: NonceDesk
    promises: StatusPromises
    answers: AnswerStore

    @property
    def oids(self) -> OidArc:
        """The deployment's identifiers."""
        return OidArc(arc=self.settings.oid_arc)

    def adopt_profiles(self) -> None:
        """Record profiles and identities that are issued by.

        IdentitiesInvalid or ProfileInvalid where one changed and kept its version, or an identifier its meaning.
        """
        IdentityRegister(self.database, self.clock).adopt(self.authority.identities, WORKER)
        ProfileRegister(self.database, self.clock).adopt(self.authority.profiles, WORKER)


def assemble(
    deployment: Deployment,
    settings: DeploymentSettings,
    database: Database,
    keys: KeyProvider,
    judge: Judge | None = None,
    *,
    waits_for_clock: bool = False,
) -> Parts:
    """Put the parts together; nothing is asked of database or custodian yet.

    With `waits_for_clock` nothing at all is dated while the clock is not believed: what is tried raises Unavailable.
    """
    machine = RealClock()
    guard = clock_guard(deployment, database, machine)
    believed = BelievedClock(guard, machine, time.monotonic)
    clock: Clock = believed if waits_for_clock else machine
    recovery_guard = recovery_guard_of(deployment, database)
    gate = RegisterGate(database, clock, waits=recovery_guard.check_act)
    settled = SettledClock(believed, recovery_guard)
    own = authority_settings(settings, deployment.refused_keys(settings))
    terms = RegistrationTerms(
        registries=pilot_registries(deployment.registry.parent, own.identities),
        evidence_kinds=settings.registration.evidence_required,
        province_kinds=settings.registration.province_required,
    )
    room = headroom(deployment, settings, database)
    answers = AnswerStore(deployment.answers)
    authority = CertificateAuthority(
        database,
        keys,
        own,
        clock,
        gate=gate,
        before_intent=before_intent(room, believed, recovery_guard),
        before_activation=recovery_guard.check_issuing,
        forgiven=guard.forgiven,
        believed=settled,
        registration=terms,
        answers=answers,
    )
    kept_scans = partial(
        ScanStore,
        clock=clock,
        sealer=KeySealer(EvidenceKey(deployment.evidence_key)),
        check_room=room.check,
        kept=settings.registration.evidence_kept,
    )
    linting = linting_of(settings, database, clock, judge)
    registry = FileRegistry(deployment.registry, own.identities)
    return Parts(
        deployment=deployment,
        settings=settings,
        clock=machine,
        dates=clock,
        database=database,
        ledger=Ledger(database),
        keys=keys,
        authority=authority,
        recovery=Recovery(database, clock),
        recovery_guard=recovery_guard,
        recoveries=RecoveryDesk(database, own, gate, clock, recovery_guard),
        renewals=RenewalDesk(database, authority.line, terms, clock),
        tokens=TokenService(database, authority, keys, registry, token_settings(settings), clock, gate, settled),
        gate=gate,
        room=room,
        clock_guard=guard,
        officers=OfficerDesk(database, gate, clock, own.identities),
        bulk=BulkDesk(database, authority, gate, clock),
        inventory=InventoryDesk(database, gate, clock),
        exports=ExportDesk(database, gate, clock),
        statistics=StatisticsDesk(database, clock),
        linting=linting,
        nonces=NonceDesk(database, gate, clock),
        est=EnrolmentDesk(database, authority, authority.line, clock, terms),
        activation=ActivationDesk(
            database,
            authority,
            gate,
            Outbox(deployment.outbox),
            clock,
            judge=linting.verdict_of,
            life=timedelta(days=settings.activation_days),
        ),
        suspension=SuspensionDesk(database, authority, gate, Outbox(deployment.outbox), clock),
        told=HolderNotices(database, Outbox(deployment.outbox), clock),
        holders=HolderDesk(database, authority, gate, own, clock),
        proposals=ProposalDesk(database, authority, gate, own, clock),
        status_alarms=StatusAlarms(database, gate, clock),
        compromises=CompromiseDesk(database, gate, clock),
        secrets=SecretDesk(database, gate, clock),
        evidence=EvidenceDesk(database, gate, clock, kept_scans(OF_FILES)),
        revocation_evidence=RevocationEvidence(database, gate, kept_scans(OF_REVOCATIONS)),
        promises=StatusPromises(
            PublishedLists(deployment.published_lists),
            (f"{issuer}/{shard}" for issuer in ISSUING_AUTHORITIES for shard in range(own.shards_of(issuer))),
            authority.own_certificates,
            partial(stored_promises, answers),
        ),
        answers=answers,
    )


def linting_of(settings: DeploymentSettings, database: Database, clock: Clock, judge: Judge | None) -> LintDesk:
    """Return the desk of verdicts; servers and the worker have no judge, because it takes a second and 100 MB."""
    gate = RegisterGate(database, clock)
    return LintDesk(database, judge, authority_settings(settings).profiles, clock, gate)


@contextlib.contextmanager
def opened_linting(deployment: Deployment) -> Iterator[LintDesk]:
    """Open what judges certificates: the database and pkilint, no keys."""
    settings = deployment.settings()
    database = _database_of(deployment, settings)
    try:
        machine = RealClock()
        clock = BelievedClock(clock_guard(deployment, database, machine), machine, time.monotonic)
        yield linting_of(settings, database, clock, PkilintJudge(pilot=not settings.production))
    finally:
        database.close()


def _database_of(deployment: Deployment, settings: DeploymentSettings) -> Database:
    """Open the database that the ceremony made; one that is missing is not made again, empty."""
    if settings.database_url is None and not deployment.database_file.is_file():
        raise Unavailable(ErrorCode.DATABASE_UNAVAILABLE, "the database's file is missing")
    return open_database(deployment.database_url(settings))


def open_parts(deployment: Deployment, role: str) -> Parts:
    """Open a deployment for a server or a worker: keys through the custodians that run beside it."""
    settings = deployment.settings()
    database = _database_of(deployment, settings)
    keys = CustodianClient(sockets_for(deployment, role))
    parts = assemble(deployment, settings, database, keys, waits_for_clock=role == BACKGROUND)
    with contextlib.suppress(Unavailable):  # a server starts without its database, and issues nothing meanwhile
        parts.adopt_profiles()
    return parts


def bring_schema_up(deployment: Deployment) -> None:
    """Give the database this program's schema; Conflict where a newer program was here, Unavailable."""
    database = _database_of(deployment, deployment.settings())
    try:
        bring_up(database)
    finally:
        database.close()


@contextlib.contextmanager
def opened_database(deployment: Deployment) -> Iterator[tuple[Database, Ledger]]:
    """Open the database alone, for readers that need no key."""
    database = _database_of(deployment, deployment.settings())
    try:
        yield database, Ledger(database)
    finally:
        database.close()


@contextlib.contextmanager
def running_custodian(deployment: Deployment) -> Iterator[CustodianClient]:
    """Reach the deployment's custodians as an operator: those that run, else one of our own for the block.

    NotFound (`deployment-missing`) where there is no deployment.
    """
    settings = deployment.settings()
    client = CustodianClient(sockets_for(deployment, OPERATOR))
    with contextlib.ExitStack() as stack:
        stack.callback(client.close)
        try:
            client.keys()
        except HsmUnavailable:
            follow_profile_limits(deployment.policy_file, authority_settings(settings))
            stack.enter_context(custodian_for_us(deployment))
        yield client


@contextlib.contextmanager
def opened_parts(deployment: Deployment) -> Iterator[Parts]:
    """Open a deployment for one command, with or without a running server."""
    settings = deployment.settings()
    with running_custodian(deployment) as keys:
        database = _database_of(deployment, settings)
        try:
            bring_up(database)
            parts = assemble(deployment, settings, database, keys, PkilintJudge(pilot=not settings.production))
            parts.adopt_profiles()
            yield parts
        finally:
            database.close()
