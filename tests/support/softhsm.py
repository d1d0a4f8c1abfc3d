"""Real keys for tests: SoftHSM2 tokens with a running custodian, made once a session.

A room that wants them imports the fixtures in its own `conftest.py`:
`from tests.support.softhsm import custodian, custodian_factory  # noqa: F401 - fixtures`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from hsm.client import CustodianClient
from hsm.custodian.config import CustodianSettings, PinSettings, Pkcs11Settings, write_settings
from hsm.custodian.policy import Policy, permissive, write_policy
from hsm.private_files import write_private
from hsm.process import CustodianProcess
from hsm.provider import KeyPurpose
from hsm.softhsm import SoftHsmToken, create_softhsm_token, find_module
from pki.journal import START, KeyUse, check_continues, parse_line
from pki.keys import SignatureAlgorithm

ROLE = "operator"


@dataclass(kw_only=True)
class CustodianHome:
    """A folder with a token, the settings of its custodian, the running process and a client of it."""

    folder: Path
    token: SoftHsmToken
    pin: str
    settings: CustodianSettings
    config_path: Path
    process: CustodianProcess
    client: CustodianClient
    labels: dict[tuple[SignatureAlgorithm, KeyPurpose], str] = field(default_factory=dict)

    def key(self, algorithm: SignatureAlgorithm, purpose: KeyPurpose) -> str:
        """Return the label of a key of this kind that is not bound to an issuer; made when first asked for."""
        label = self.labels.get((algorithm, purpose))
        if label is None:
            label = f"{purpose}-{algorithm}".lower()
            self.client.generate(label, algorithm, purpose)
            self.labels[(algorithm, purpose)] = label
        return label

    def socket_path(self, role: str = ROLE, index: int = 0) -> Path:
        """Return where a custodian listens."""
        return self.settings.socket_path(role, index)

    @property
    def pin_file(self) -> Path:
        """Where the PIN is."""
        return self.folder / "pin"

    def use_module(self, module_path: Path, **environment: str) -> None:
        """Reach the token through another module, from the next start of the process."""
        self.reconfigure(
            device=Pkcs11Settings(module_path=module_path, token=self.token.label, environment=environment)
        )

    def rule(self, policy: Policy) -> None:
        """Change the policy; it holds from the next start of a process."""
        write_policy(policy, self.settings.policy_file)

    def another(self, index: int) -> CustodianProcess:
        """Return another custodian of the same keys, not started yet."""
        return CustodianProcess(self.config_path, index, log_path=self.folder / f"custodian.{index}.log")

    def journal(self, index: int = 0) -> list[KeyUse]:
        """Return every entry of a custodian's journal, which must hold together."""
        with closing(CustodianClient(self.socket_path(index=index))) as client:
            part = client.journal(0, 0, 2000)
        check_continues(part.lines, 0, START)
        return [parse_line(line).use for line in part.lines]

    def reconfigure(self, **changes: object) -> None:
        """Change settings; they hold from the next start of the process."""
        self.settings = replace(self.settings, **changes)  # type: ignore[arg-type]  # names are the settings' own
        write_settings(self.settings, self.config_path)


def make_custodian(folder: Path, label: str = "mohr-test") -> CustodianHome:
    """Make a token and the settings of a custodian that is not started yet; skips where SoftHSM2 is missing."""
    if find_module() is None:
        pytest.skip("SoftHSM2 is not installed")
    token = create_softhsm_token(folder / "token", label)
    write_private(folder / "pin", token.pin.reveal().encode() + b"\n")
    settings = CustodianSettings(
        device=Pkcs11Settings(module_path=token.module_path, token=token.label, environment=token.environment),
        pin=PinSettings(file=folder / "pin"),
        keys_file=folder / "keys.json",
        policy_file=folder / "policy.json",
        marks=folder / "marks",
        journal=folder / "journal",
        sockets=folder / "run",
    )
    config_path = folder / "custodian.json"
    write_settings(settings, config_path)
    write_policy(permissive({os.getuid()}), settings.policy_file)
    process = CustodianProcess(config_path, log_path=folder / "custodian.log")
    return CustodianHome(
        folder=folder,
        token=token,
        pin=token.pin.reveal(),
        settings=settings,
        config_path=config_path,
        process=process,
        client=CustodianClient(process.socket_path(ROLE)),
    )


@pytest.fixture(scope="session")
def custodian_factory() -> Iterator[Callable[[], CustodianHome]]:
    """Make custodians that are not started yet; they are stopped and removed with the session."""
    homes: list[CustodianHome] = []

    def make() -> CustodianHome:
        homes.append(make_custodian(Path(tempfile.mkdtemp(prefix="mohr-"))))
        return homes[-1]

    yield make
    for home in homes:
        home.client.close()
        home.process.stop()
        shutil.rmtree(home.folder)


@pytest.fixture(scope="session")
def custodian(custodian_factory: Callable[[], CustodianHome]) -> CustodianHome:
    """Return one running custodian for the whole session; do not stop it."""
    home = custodian_factory()
    home.process.start()
    return home
