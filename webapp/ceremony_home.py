"""A deployment as a key ceremony sees it: there already, or made by the ceremony itself."""

import contextlib
import shutil
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from ca.ceremony.errors import CeremonyStopped, ScriptRefused
from ca.ceremony.grammar import SERVICE
from ca.ceremony.script import Script
from ca.ceremony.tokens import TokenPlace
from ca.config import AuthoritySettings
from ca.custody_policy import OPERATOR
from ca.profiles import IssuerName
from ca.status.crl import PublishedCrl
from ca.status.list_drafts import published_numbers
from hsm.client import CEREMONY_TIMEOUT, CustodianClient
from hsm.process import CustodianProcess
from hsm.provider import KeyProvider
from hsm.softhsm import create_softhsm_token
from pki.errors import Conflict, ErrorCode, InvalidInput
from pki.oids import PILOT_ARC
from storage.engine import Database, open_database
from storage.key_uses import KeyUses
from storage.migrate import upgrade
from webapp.ceremony import entries, write_service_custodian
from webapp.commands.init import exchange_url_beside
from webapp.compose import RealClock, assemble, authority_settings, running_custodian, token_settings
from webapp.deployment import Deployment
from webapp.deployment_settings import DeploymentSettings
from webapp.fonts import cut_font
from webapp.key_journal import JournalSource, JournalTaker
from webapp.list_upkeep import write_list
from webapp.opening import open_for_service


def ceremony_folder(deployment: Deployment, name: str) -> Path:
    """Return where a ceremony's transcript and files lie."""
    return deployment.home / "ceremonies" / name


class DeploymentHome:
    """One deployment's tokens, register and public files."""

    def __init__(self, deployment: Deployment, script: Script) -> None:
        """Take a deployment that is there, or the one that `script` wishes for.

        ScriptRefused for a wish that cannot be, Conflict (`deployment-exists`) where something else lies there.
        """
        self._deployment, self._script = deployment, script
        self._settings = _settings_of(deployment, script)
        self.settings: AuthoritySettings = authority_settings(self._settings)
        if not deployment.exists():
            deployment.create_folders()

    @cached_property
    def database(self) -> Database:
        """The database; its tables are made where the deployment is not opened yet."""
        deployment = self._deployment
        if deployment.exists() and self._settings.database_url is None and not deployment.database_file.is_file():
            raise CeremonyStopped("the database's file is missing")
        database = open_database(deployment.database_url(self._settings))
        if not deployment.exists():
            upgrade(database)
        return database

    def close(self) -> None:
        """Close the database."""
        if "database" in self.__dict__:
            self.database.close()

    def folder(self, ceremony: str) -> Path:
        """Return the folder of a ceremony."""
        return ceremony_folder(self._deployment, ceremony)

    def place(self, token: str) -> TokenPlace:
        """Return where a token lies; all but the service's are in the root's folder, to be taken off the machine."""
        root = self._deployment.root
        folder = root if token == IssuerName.ROOT.value else root / "tokens" / token
        return TokenPlace(name=token, token=folder / "token", folder=folder)

    def make_service_token(self, label: str) -> None:
        """Make the service's token, its PIN file and, last, its custodian's settings."""
        deployment = self._deployment
        if deployment.custodian_config.exists():
            return
        shutil.rmtree(deployment.service_token, ignore_errors=True)
        token = create_softhsm_token(deployment.service_token, label)
        write_service_custodian(deployment, self._settings, token)

    @contextlib.contextmanager
    def service_keys(self) -> Iterator[KeyProvider]:
        """Reach the service's keys."""
        deployment = self._deployment
        if deployment.exists():
            with running_custodian(deployment) as keys:
                yield keys
            return
        with CustodianProcess(deployment.custodian_config, log_path=deployment.custodian_log) as custodian:
            own = CustodianClient(custodian.socket_path(OPERATOR), timeout=CEREMONY_TIMEOUT)
            try:
                yield own
            finally:
                own.close()

    def publish_certificate(self, name: str, der: bytes) -> None:
        """Put an authority's certificate where AIA points."""
        self._deployment.publish_certificate(name, der)

    def publish_crl(self, crl: PublishedCrl) -> None:
        """Put a list where its distribution point points, or the newer one that was made meanwhile."""
        write_list(self._deployment, crl, lambda: self._registered(crl.issuer, crl.shard))

    def _registered(self, issuer: str, shard: int) -> int:
        with self.database.read() as connection:
            return max(published_numbers(connection, issuer, shard))

    def take_journal(self, token: str, keys: KeyProvider) -> None:
        """Take what the token's custodian wrote down of its keys' uses; the service's is the worker's to take."""
        if token != SERVICE and isinstance(keys, JournalSource):
            JournalTaker(KeyUses(self.database), keys, RealClock(), name=lambda _index: f"token-{token}").sweep()

    def open(self, keys: KeyProvider) -> None:
        """Publish everything and write `mohr.toml`."""
        deployment = self._deployment
        open_for_service(assemble(deployment, self._settings, self.database, keys), f"ceremony {self._script.name}")
        cut_font(deployment.cache)
        if not deployment.exists():
            deployment.write_settings(self._settings)


def _settings_of(deployment: Deployment, script: Script) -> DeploymentSettings:
    wish, begun = script.deployment, ceremony_folder(deployment, script.name).exists()
    if deployment.exists():
        if wish is not None and not begun:
            raise Conflict(ErrorCode.DEPLOYMENT_EXISTS, str(deployment.home))
        return deployment.settings()
    if wish is None:
        return deployment.settings()  # NotFound: there is no deployment
    own = {deployment.cache, deployment.home / "ceremonies"}
    if not begun and any(path not in own for path in entries(deployment.home)):
        raise Conflict(ErrorCode.DEPLOYMENT_EXISTS, str(deployment.home))
    try:
        settings = DeploymentSettings(
            public_url=wish.public_url,
            exchange_url=wish.exchange_url or exchange_url_beside(wish.public_url),
            organization=wish.organization,
            oid_arc=wish.oid_arc or PILOT_ARC,
            database_url=None,
            production=False,
            status_url=wish.status_url,
        )
        authority_settings(settings)
        token_settings(settings)
    except InvalidInput as error:
        raise ScriptRefused(f"[deployment]: {error.detail}") from error
    return settings
