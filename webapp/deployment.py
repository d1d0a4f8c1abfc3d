"""A deployment on disk: one folder, its layout and its settings (`mohr.toml`).

Everything that depends on where a file lies goes through `Deployment`; nothing else joins paths under
HOME. `mohr.toml` holds no secret.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from ca import profile_file
from pki import identity_file
from pki.errors import Conflict, ErrorCode, InvalidInput, NotFound, Unavailable
from webapp.atomic_files import PUBLIC_FOLDER, create_file, make_folder, publish_file, write_atomically
from webapp.database_password import read_password, with_password
from webapp.deployment_settings import DeploymentSettings, parse_settings, settings_toml
from webapp.refused_keys import read_refused_keys

_MAX_OWN: Final = max(profile_file.MAX_OCTETS, identity_file.MAX_OCTETS)


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where the parts of one deployment lie."""

    home: Path

    @property
    def settings_file(self) -> Path:
        """The deployer's settings; its presence is what makes a folder a deployment."""
        return self.home / "mohr.toml"

    @property
    def waiting_file(self) -> Path:
        """The settings of a deployment whose authorities wait for their parent's certificates."""
        return self.home / "waiting.toml"

    @property
    def requests(self) -> Path:
        """What the authorities ask of their parent."""
        return self.home / "requests"

    @property
    def profiles_file(self) -> Path:
        """The deployer's own profile set, if there is one."""
        return self.home / "profiles.toml"

    @property
    def identities_file(self) -> Path:
        """The deployer's own identity scheme, if there is one."""
        return self.home / "identities.toml"

    @property
    def backup_key(self) -> Path:
        """The key that backups are encrypted to, which opens none."""
        return self.home / "backup-key.json"

    @property
    def outbox(self) -> Path:
        """What waits to be told to holders."""
        return self.home / "outbox"

    @property
    def secrets(self) -> Path:
        """Files that only their owner may read."""
        return self.home / "secrets"

    @property
    def officers(self) -> Path:
        """Keys and certificates of a pilot's own officers, a folder each, readable by their owner alone."""
        return self.home / "officers"

    @property
    def service_token(self) -> Path:
        """The SoftHSM token of the running service."""
        return self.home / "tokens" / "service"

    @property
    def root(self) -> Path:
        """The pilot root's own token and configuration, outside the running configuration."""
        return self.home / "root"

    @property
    def run(self) -> Path:
        """Sockets and states of running processes."""
        return self.home / "run"

    @property
    def custodian_config(self) -> Path:
        """The running custodian's configuration."""
        return self.home / "custodian" / "service.json"

    @property
    def pin_file(self) -> Path:
        """The service token's PIN, which the custodian alone may read."""
        return self.custodian_config.with_name("service.pin")

    @property
    def policy_file(self) -> Path:
        """Which role may use which key; root writes it."""
        return self.custodian_config.with_name("policy.json")

    @property
    def custodian_sockets(self) -> Path:
        """Where the custodians listen: a folder for each role."""
        return self.run / "custodian"

    @property
    def keeper_config(self) -> Path:
        """What the keeper of the PIN is told, if there is one; holds no secret."""
        return self.custodian_config.with_name("keeper.json")

    @property
    def pin_shares(self) -> Path:
        """The public record of the shares that the PIN was divided into, if it was."""
        return self.custodian_config.with_name("pin-shares.json")

    @property
    def keeper_sockets(self) -> Path:
        """Where the keeper of the PIN listens, if there is one: a folder for each role."""
        return self.run / "keeper"

    @property
    def custodian_log(self) -> Path:
        """What custodians say that no supervisor listens to."""
        return self.run / "custodian.log"

    @property
    def demo_files(self) -> Path:
        """What the demo signed, to be tried on the portal."""
        return self.home / "demo"

    @property
    def public(self) -> Path:
        """What anyone may read: anchors, issuers, CRLs, the latest checkpoint."""
        return self.home / "public"

    @property
    def anchor(self) -> Path:
        """The pilot root's certificate, PEM."""
        return self.public / "root.pem"

    @property
    def answers(self) -> Path:
        """The OCSP answers that were signed before anyone asked; made again from the rows when it is lost."""
        return self.home / "answers" / "answers.db"

    @property
    def checkpoint(self) -> Path:
        """The latest checkpoint of the ledger."""
        return self.public / "checkpoint"

    @property
    def ledger(self) -> Path:
        """The ledger, followed outside of the database by the worker; names people."""
        return self.home / "ledger"

    @property
    def ledger_key(self) -> Path:
        """The verifier key of the ledger's checkpoints (C2SP signed-note)."""
        return self.public / "ledger.vkey"

    @property
    def registry(self) -> Path:
        """The pilot centre registry."""
        return self.home / "registry" / "centres.json"

    @property
    def cache(self) -> Path:
        """Things that can be made again."""
        return self.home / "cache"

    @property
    def tls_key(self) -> Path:
        """The pilot exchange listener's own TLS key."""
        return self.secrets / "tls.key"

    @property
    def evidence_key(self) -> Path:
        """The key that scans of registration files are sealed by; there is none before the first scan."""
        return self.secrets / "evidence.key"

    @property
    def tls_certificate(self) -> Path:
        """The pilot exchange listener's certificate with its issuer, PEM."""
        return self.public / "tls.pem"

    @property
    def exchange_clients(self) -> Path:
        """The authorities whose client certificates the exchange listener lets in, PEM."""
        return self.public / "exchange-clients.pem"

    @property
    def worker_state(self) -> Path:
        """The worker's last heartbeat, in the one folder under `run` that is the worker's."""
        return self.run / "worker" / "heartbeat.json"

    @property
    def alarms(self) -> Path:
        """What the worker has told of late status answers and has not seen put right yet."""
        return self.worker_state.with_name("alarms.json")

    @property
    def request_counts(self) -> Path:
        """Where server processes count their answers: the one folder under `run` that is theirs."""
        return self.run / "server"

    @property
    def linter_state(self) -> Path:
        """The linter's last heartbeat, in the one folder under `run` that is the linter's."""
        return self.run / "linter" / "heartbeat.json"

    @property
    def publishing_lock(self) -> Path:
        """What the program holds that replaces a published file; whoever can open it can hold it."""
        return self.worker_state.with_name("publishing.lock")

    def exists(self) -> bool:
        """Whether a finished deployment lies here."""
        try:
            return self.settings_file.is_file()
        except OSError:  # such as a name that is too long: nothing lies there
            return False

    def settings(self) -> DeploymentSettings:
        """Read `mohr.toml`; NotFound where there is no deployment, InvalidInput where it is malformed.

        Conflict (`deployment-waiting`) where its authorities wait for their parent's certificates.
        """
        if not self.exists() and self.waits():
            raise Conflict(ErrorCode.DEPLOYMENT_WAITING, f"{self.requests}: mohr ca install-chain")
        return self._read_settings(self.settings_file)

    def waits(self) -> bool:
        """Whether the authorities of this deployment wait for their parent's certificates."""
        return self.waiting_file.is_file() and not self.exists()

    def waiting_settings(self) -> DeploymentSettings:
        """Read what a deployment that waits will be; as `settings`."""
        return self._read_settings(self.waiting_file)

    def _read_settings(self, file: Path) -> DeploymentSettings:
        try:
            data = file.read_bytes()
        except OSError as error:
            raise NotFound(ErrorCode.DEPLOYMENT_MISSING, str(self.home)) from error
        return parse_settings(data, profiles=_own(self.profiles_file), identities=_own(self.identities_file))

    def refused_keys(self, settings: DeploymentSettings) -> tuple[str, ...]:
        """Read the deployer's list of keys never to be certified; none where no list is named."""
        return () if settings.refused_keys_file is None else read_refused_keys(self.home / settings.refused_keys_file)

    @property
    def database_file(self) -> Path:
        """The database, unless the deployer named another."""
        return self.home / "data" / "mohr.db"

    @property
    def clock_reference(self) -> Path:
        """What this machine's clock is held against; whoever may write the database may write it."""
        return self.database_file.with_name("clock.json")

    @property
    def database_password(self) -> Path:
        """The password of a database on a server, for those who may write the database."""
        return self.database_file.with_name("database.password")

    def database_url(self, settings: DeploymentSettings) -> str:
        """Return the database's URL: the deployer's with the password that is kept apart, else SQLite under HOME."""
        if settings.database_url is None:
            return f"sqlite:///{quote(str(self.database_file))}"
        return with_password(settings.database_url, read_password(self.database_password))

    def write_settings(self, settings: DeploymentSettings, *, waiting: bool = False) -> None:
        """Write `mohr.toml`, the last act of `mohr init`; the file of a deployment that waits where it is `waiting`."""
        write_atomically(self.waiting_file if waiting else self.settings_file, settings_toml(settings))

    def create_folders(self) -> None:
        """Make the layout; Conflict when a finished deployment is here already."""
        if self.exists():
            raise Conflict(ErrorCode.DEPLOYMENT_EXISTS, str(self.home))
        self._make_folders(private=(self.root,), shared=())
        self.complete_folders()

    def complete_folders(self) -> None:
        """Make what is missing of the layout, as in a home that was put back; InvalidInput (`file-unwritable`).

        The root's folder is not part of it: it belongs elsewhere once a deployment is made.
        """
        private = (self.secrets, self.run, self.custodian_config.parent, self.service_token.parent)
        self._make_folders(private=private, shared=(self.home / "data", self.registry.parent, self.cache))
        try:
            for folder in (self.public / "ca", self.public / "crl"):
                make_folder(folder, PUBLIC_FOLDER)
        except OSError as error:
            raise InvalidInput(ErrorCode.FILE_UNWRITABLE, str(self.home)) from error

    def _make_folders(self, *, private: Iterable[Path], shared: Iterable[Path]) -> None:
        try:
            for folder in private:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for folder in shared:
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInput(ErrorCode.FILE_UNWRITABLE, str(self.home)) from error

    def publish_certificate(self, name: str, der: bytes) -> None:
        """Put an issuer's certificate where AIA points."""
        publish_file(self.certificate_file(name), der)

    def certificate_file(self, name: str) -> Path:
        """Where the certificate of an authority lies."""
        return self.public / "ca" / f"{name}.cer"

    def published_crl(self, issuer: str, shard: int) -> bytes | None:
        """Return the CRL file of one shard, None where it cannot be read."""
        try:
            return self.crl_file(issuer, shard).read_bytes()
        except OSError:
            return None

    @contextlib.contextmanager
    def publishing(self) -> Iterator[None]:
        """Let one program at a time replace a published file; Unavailable (`file-unwritable`)."""
        with _opened_lock(self.publishing_lock) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Be the one program that serves this deployment; Conflict where another one does."""
        with _opened_lock(self.run / "serving.lock") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Conflict(ErrorCode.CONFLICT, "another program serves this deployment") from error
            yield

    def is_served(self) -> bool:
        """Whether a program serves this deployment now."""
        try:
            with self.serving():
                return False
        except Conflict:
            return True

    def crl_file(self, issuer: str, shard: int) -> Path:
        """Where the CRL of one shard lies."""
        return self.published_lists / issuer / f"{shard}.crl"

    def delta_file(self, issuer: str, shard: int) -> Path:
        """Where the delta to the CRL of one shard lies."""
        return self.public / "crl" / issuer / f"{shard}.delta.crl"

    @property
    def published_lists(self) -> Path:
        """Where the CRLs lie, a folder for each issuer."""
        return self.public / "crl"


def _own(file: Path) -> bytes | None:
    """Read a file of the deployer's own; None where there is none. Unavailable (`file-unreadable`)."""
    try:
        with file.open("rb") as opened:
            return opened.read(_MAX_OWN + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unavailable(ErrorCode.FILE_UNREADABLE, file.name) from error


@contextlib.contextmanager
def _opened_lock(path: Path) -> Iterator[int]:
    try:
        make_folder(path.parent)
        with contextlib.suppress(FileExistsError):
            os.close(create_file(path, 0o600))
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise Unavailable(ErrorCode.FILE_UNWRITABLE, path.name) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)
