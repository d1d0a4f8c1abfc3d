"""The real workshop of a ceremony: SoftHSM2 tokens, and a custodian over any token whose PIN was given."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Final

from ca.ceremony.tokens import TokenPlace, TokenRecord
from ca.config import AuthoritySettings
from ca.custody_policy import OPERATOR, root_policy
from hsm.client import CEREMONY_TIMEOUT, CustodianClient
from hsm.custodian.config import CustodianSettings, PinSettings, Pkcs11Settings, write_settings
from hsm.custodian.policy import write_policy
from hsm.errors import ConfigurationInvalid, HsmUnavailable
from hsm.pin import Pin
from hsm.private_files import write_private
from hsm.process import CustodianProcess
from hsm.provider import KeyProvider
from hsm.softhsm import CONFIGURATION_NAME, create_softhsm_token, find_module
from hsm.softhsm_guard import CONFIGURATION_VARIABLE

MEMORY_FOLDER: Final = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it


class CustodianWorkshop:
    """Makes tokens and opens them under the root's policy; what custodians log goes to a file."""

    def __init__(self, log_path: Path, settings: AuthoritySettings) -> None:
        self._log_path, self._policy = log_path, root_policy(settings, os.getuid())

    def make(self, place: TokenPlace, label: str) -> tuple[TokenRecord, Pin]:
        """Initialise a SoftHSM2 token; what an earlier try left at its place goes first."""
        if place.record_file.exists():
            raise ConfigurationInvalid(f"the token {place.name} is made already")
        shutil.rmtree(place.token, ignore_errors=True)
        made = create_softhsm_token(place.token, label)
        made.so_pin.wipe()  # nobody keeps it: a token whose PIN is lost is lost
        return TokenRecord(
            module=made.module_path, label=made.label, environment=MappingProxyType(made.environment)
        ), made.pin

    def find(self, place: TokenPlace, label: str) -> TokenRecord:
        """Return the record of a SoftHSM2 token that lies at `place`."""
        module, configuration = find_module(), place.token.resolve() / CONFIGURATION_NAME
        if module is None:
            raise HsmUnavailable("SoftHSM2 is not installed")
        if not configuration.is_file():
            raise ConfigurationInvalid(f"no token {place.name} lies in this home")
        environment = MappingProxyType({CONFIGURATION_VARIABLE: str(configuration)})
        return TokenRecord(module=module, label=label, environment=environment)

    @contextlib.contextmanager
    def opened(self, place: TokenPlace, record: TokenRecord, pin: Pin) -> Iterator[KeyProvider]:
        """Run a custodian over the token for the block.

        The PIN lies in a file only until the custodian has logged in, in memory where the system has such a folder:
        a device that is lost afterwards stops the ceremony, which persons then resume.
        """
        with contextlib.ExitStack() as stack:
            within = MEMORY_FOLDER if MEMORY_FOLDER.is_dir() else None
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mohr-ceremony-", dir=within)))
            config, pin_file = folder / "custodian.json", folder / "pin"
            write_private(pin_file, pin.reveal().encode() + b"\n")
            settings = CustodianSettings(
                device=Pkcs11Settings(module_path=record.module, token=record.label, environment=record.environment),
                pin=PinSettings(file=pin_file),
                keys_file=place.folder / "keys.json",
                policy_file=folder / "policy.json",
                marks=place.folder / "marks",
                journal=place.folder / "journal",
                sockets=folder / "run",
            )
            write_policy(self._policy, settings.policy_file)
            write_settings(settings, config)
            custodian = stack.enter_context(CustodianProcess(config, log_path=self._log_path))
            keys = CustodianClient(custodian.socket_path(OPERATOR), timeout=CEREMONY_TIMEOUT)
            stack.callback(keys.close)
            health = keys.health()
            if not health.ok:
                raise HsmUnavailable(health.detail)
            pin_file.unlink()
            yield keys
