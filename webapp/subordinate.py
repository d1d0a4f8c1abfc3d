"""A deployment under somebody else's authority: requests out, certificates in, then open.

Until it is open its settings lie in `waiting.toml`; `mohr.toml` is written last. Everything that the parent sent is
judged before anything is changed, and what follows may be killed anywhere and done again with the same files.
"""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from sqlalchemy import select

from ca import certificate_queries, parents
from ca.ceremony.key_steps import bind
from ca.ceremony.register import Register
from ca.ceremony.services import make_services
from ca.config import AuthoritySettings
from ca.custody_policy import OPERATOR
from ca.hierarchy import authority_common_name, authority_key
from ca.parents import check_compatible, check_installable, path_of, refuse_chain, requested_extensions
from ca.profiles import ISSUING_AUTHORITIES, IssuerName
from ca.status.revocation import CertificateState
from ca.subjects import service_subject
from ca.tables import certificates as rows
from ca.tbs import Issuer
from hsm.client import CEREMONY_TIMEOUT, CustodianClient
from hsm.process import CustodianProcess
from hsm.provider import KeyProvider, KeyPurpose, spki_of
from pki.audit import AuditAction
from pki.certificates import Certificate, pem
from pki.clock import Clock
from pki.csr import build_request
from pki.keys import SignatureAlgorithm
from storage.engine import Database, open_database
from storage.migrate import bring_up, upgrade
from webapp.atomic_files import make_folder, write_atomically
from webapp.ceremony import begin_deployment, ended_gently
from webapp.compose import RealClock, assemble, authority_settings, opened_parts
from webapp.deployment import Deployment
from webapp.deployment_settings import DeploymentSettings
from webapp.fonts import cut_font
from webapp.opening import open_for_service, publish_authorities
from webapp.profile_limits import follow_profile_limits
from webapp.separation import separate
from webapp.service_device import ServiceDevice

BEGINNING: Final = "mohr init"
INSTALLING: Final = "mohr ca install-chain"

Paths = dict[IssuerName, parents.Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """What came of an installation: serial numbers and anchors (SHA-256) by authority, and whether it was news."""

    serials: dict[str, str]
    anchors: dict[str, str]
    changed: bool


# --- requests out -------------------------------------------------------------------------------------------


def begin_subordinate(
    deployment: Deployment,
    settings: DeploymentSettings,
    *,
    database_password: str | None = None,
    device: ServiceDevice | None = None,
) -> tuple[Path, ...]:
    """Make custodians, the authorities' keys and their requests; return the requests' files.

    Refuses as `hold_ceremony` does; one that breaks off leaves a folder that a person must look at.
    """
    begin_deployment(deployment, settings, database_password, device)
    authorities, written = authority_settings(settings), []
    with ended_gently(), _custodian(deployment) as keys, closing(_database(deployment, settings)) as database:
        upgrade(database)
        register = _register(database, authorities, BEGINNING)
        make_folder(deployment.requests)
        for label in ISSUING_AUTHORITIES:
            key = authority_key(label)
            public_key = keys.generate(key, SignatureAlgorithm.ES256, KeyPurpose.CERTIFICATE_AUTHORITY)
            name = service_subject(authorities, authority_common_name(label)).name
            bind(keys, key, Issuer.self_signed(label, name, public_key))
            register.tell_once(AuditAction.KEY_GENERATED, key)
            request = build_request(keys.signing_key(key), name, requested_extensions(label, authorities))
            file = deployment.requests / f"{label}.csr"
            write_atomically(file, pem(request, "CERTIFICATE REQUEST").encode())
            written.append(file)
    deployment.write_settings(settings, waiting=True)
    return tuple(written)


@contextmanager
def _custodian(deployment: Deployment) -> Iterator[KeyProvider]:
    """Run a custodian for a deployment that is not open yet, as ourselves."""
    with CustodianProcess(deployment.custodian_config, log_path=deployment.custodian_log) as custodian:
        keys = CustodianClient(custodian.socket_path(OPERATOR), timeout=CEREMONY_TIMEOUT)
        with closing(keys):
            yield keys


def _database(deployment: Deployment, settings: DeploymentSettings) -> Database:
    return open_database(deployment.database_url(settings))


def _register(database: Database, settings: AuthoritySettings, actor: str, clock: Clock | None = None) -> Register:
    return Register(
        database=database,
        settings=settings,
        clock=clock or RealClock(),
        random_bytes=secrets.token_bytes,
        actor=actor,
    )


# --- certificates in ----------------------------------------------------------------------------------------


def install_chain(deployment: Deployment, given: Sequence[Certificate]) -> Installed:
    """Take a parent's certificates into use: open a deployment that waits, or renew those of one that is open.

    VerificationFailed with a reason `chain.…`, and nothing is changed. NotFound (`deployment-missing`); Conflict where
    another program opens it, or a serial number is taken.
    """
    if deployment.exists():
        with opened_parts(deployment) as parts:
            authorities = authority_settings(parts.settings)
            register = _register(parts.database, authorities, INSTALLING, parts.clock)
            paths = _judged(given, register, parts.keys, parts.settings)
            installed = _install(paths, register)
            publish_authorities(parts)
        return installed
    settings = deployment.waiting_settings()
    with deployment.serving():
        follow_profile_limits(deployment.policy_file, authority_settings(settings))
        installed = _open(deployment, settings, given)
    separate(deployment).close()
    return installed


def _open(deployment: Deployment, settings: DeploymentSettings, given: Sequence[Certificate]) -> Installed:
    with ExitStack() as stack:
        stack.enter_context(ended_gently())
        keys = stack.enter_context(_custodian(deployment))
        database = stack.enter_context(closing(_database(deployment, settings)))
        bring_up(database)
        register = _register(database, authority_settings(settings), INSTALLING)
        paths = _judged(given, register, keys, settings)
        missing = [label.value for label in ISSUING_AUTHORITIES if label not in paths]
        if missing:
            raise refuse_chain(f"no certificate for the key of {', '.join(missing)}", reason="chain.authority-missing")
        installed = _install(paths, register)
        made = make_services(register, keys, RowNotes(database))
        open_for_service(assemble(deployment, settings, database, keys), INSTALLING)
        register.tell_once(AuditAction.DEPLOYMENT_CREATED, "deployment", certificates=len(paths) + len(made))
        cut_font(deployment.cache)
        deployment.write_settings(settings)
        deployment.waiting_file.unlink(missing_ok=True)
    return installed


def _judged(given: Sequence[Certificate], register: Register, keys: KeyProvider, settings: DeploymentSettings) -> Paths:
    """Find and judge the paths of all authorities that were sent any; VerificationFailed where there is none."""
    named, now = register.named(), register.clock.now()
    hosts = (str(urlsplit(settings.exchange_url).hostname),)
    paths: Paths = {}
    for label in ISSUING_AUTHORITIES:
        own = named.get(label.value)
        key = authority_key(label) if own is None else own.key_label
        spki = spki_of(keys.signing_key(key).public_key())
        path = path_of(spki, given)
        if path is None:
            continue
        present = None if own is None else Certificate.parse(own.der)
        name = service_subject(register.settings, authority_common_name(label)).name.public_bytes()
        wanted = name if present is None else present.subject_der
        check_installable(path, spki, wanted, now, present=present)
        check_compatible(path, label, register.settings, hosts=hosts)
        paths[label] = path
    if not paths:
        raise refuse_chain("no certificate is for a key of these authorities", reason="chain.authority-missing")
    return paths


def _install(paths: Paths, register: Register) -> Installed:
    named = register.named()
    labels = {label: named[label.value].key_label if label.value in named else authority_key(label) for label in paths}
    changed = [register.install(label, path, labels[label]) for label, path in paths.items()]
    return Installed(
        serials={label.value: path.own.serial_hex for label, path in paths.items()},
        anchors={label.value: path.above[-1].sha256.hex() for label, path in paths.items()},
        changed=any(changed),
    )


class RowNotes:
    """The register's rows are what an opening notes of itself: the intent, or the certificate, of each service."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def noted(self, name: str) -> str | None:
        """Return the serial number that a service was given, or was about to be, before we were killed."""
        holder, c = name.removeprefix("serial:"), rows.c
        with self._database.read() as connection:
            own = certificate_queries.named(connection).get(holder)
            if own is not None:
                return Certificate.parse(own.der).serial_hex
            intended = select(c.serial).where(c.holder == holder, c.state == CertificateState.INTENDED.value)
            found = connection.execute(intended.order_by(c.id.desc()).limit(1)).scalar_one_or_none()
        return None if found is None else str(found)

    def note(self, **facts: str | int | bool) -> None:
        """Do nothing: the intent is about to be written."""
