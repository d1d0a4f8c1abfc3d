"""A network HSM that is killed, hangs, restarts with other slots or loses its token: `p11-kit server` over SoftHSM2."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pkcs11
import pytest
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
from pkcs11.util.ec import encode_named_curve_parameters

from hsm.child_process import child_environment, module_command
from hsm.softhsm import SoftHsmToken, create_softhsm_token
from tests.support.patience import PATIENCE

CLIENT_MODULE: Final = next(Path("/usr/lib").glob("*/pkcs11/p11-kit-client.so"), Path("/usr/lib/p11-kit-client.so"))

MOST_NEIGHBOURS: Final = 3

needs_p11_kit = pytest.mark.skipif(
    not CLIENT_MODULE.exists() or not shutil.which("p11-kit"), reason="p11-kit is not installed"
)


class LostHsm:
    """A SoftHSM2 token behind a socket of its own, in a process group that can be killed and stopped."""

    def __init__(self, token: SoftHsmToken, folder: Path) -> None:
        """Take a token that is in a folder of its own; the socket goes to `folder`."""
        self._token, self._socket = token, folder / "p11.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self._tokens = token.configuration.parent / "tokens"
        (self._own,) = (path for path in self._tokens.iterdir() if path.is_dir())
        self._away = token.configuration.parent / "away"
        self._kept = token.configuration.parent / "kept"
        self._others: list[Path] = []

    @property
    def environment(self) -> Mapping[str, str]:
        """What the client module must find in its environment."""
        return {"P11_KIT_SERVER_ADDRESS": f"unix:path={self._socket}"}

    @property
    def module_path(self) -> Path:
        """The module that reaches this HSM."""
        return CLIENT_MODULE

    # --- the device ---

    def start(self) -> None:
        """Start it and wait until it listens."""
        self._socket.unlink(missing_ok=True)
        address = f"unix:path={self._socket}"
        self._process = subprocess.Popen(
            ["p11-kit", "server", "--provider", str(self._token.module_path), "-f", "-n", address, "pkcs11:"],
            env=self._token.environment | {"PATH": os.defpath},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + PATIENCE
        while not self._socket.exists():
            assert time.monotonic() < deadline, "p11-kit server did not start"
            time.sleep(0.01)

    def kill(self) -> None:
        """Kill it with every session; nothing is left that answers."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Let it hang: it accepts connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def cont(self) -> None:
        """Let it go on where it hung."""
        self._signal(signal.SIGCONT)

    def restart(self) -> None:
        """Kill it and start it again."""
        self.kill()
        self.start()

    def restart_renumbered(self) -> None:
        """Start it again with another token more or less beside ours, so that slots may have other numbers."""
        self.kill()
        if len(self._others) == MOST_NEIGHBOURS:
            shutil.rmtree(self._others.pop(0))
        else:
            self._others.append(self._neighbour())
        self.start()

    def _neighbour(self) -> Path:
        with tempfile.TemporaryDirectory(dir=self._socket.parent) as home:
            other = create_softhsm_token(Path(home) / "token", Path(home).name)
            (folder,) = (path for path in (other.configuration.parent / "tokens").iterdir() if path.is_dir())
            return folder.rename(self._tokens / folder.name)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "it is not running"
        os.killpg(self._process.pid, number)

    # --- its token ---

    def take_token_away(self) -> None:
        """Move the folder of the tokens away while the device runs."""
        self._tokens.rename(self._away)
        self._tokens.mkdir()

    def bring_token_back(self) -> None:
        """Move the folder of the tokens back."""
        self._tokens.rmdir()
        self._away.rename(self._tokens)

    def wipe_token(self) -> None:
        """Delete every object of our token, as an initialisation does."""
        for path in self._objects():
            path.unlink()

    def _objects(self) -> list[Path]:
        return [path for path in self._own.iterdir() if path.name not in ("token.object", "generation")]

    def swap_key(self, reference: bytes) -> None:
        """Put another P-256 key in the place of one: same id, same label; the device runs on meanwhile."""
        shutil.rmtree(self._kept, ignore_errors=True)
        self._kept.mkdir()
        for path in self._objects():
            shutil.copy2(path, self._kept)
        self._change_keys("swap", reference)

    def put_key_back(self, reference: bytes) -> None:
        """Put the key that was swapped back in its place; the device runs on meanwhile."""
        self._change_keys("back", reference)

    def _change_keys(self, change: str, reference: bytes) -> None:
        arguments = (change, str(self._token.module_path), self._token.label, reference.hex())
        made = subprocess.run(
            module_command("tests.support.lost_hsm", *arguments, str(self._kept), str(self._own)),
            input=self._token.pin.reveal(),
            env=child_environment(**self._token.environment),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert made.returncode == 0, made.stderr


def _swap(session: pkcs11.Session, reference: bytes) -> None:
    old = list(session.get_objects({Attribute.ID: reference}))
    assert len(old) == 2, f"{len(old)} objects have this id"
    name = old[0][Attribute.LABEL]
    for item in old:
        item.destroy()
    curve = session.create_domain_parameters(
        KeyType.EC, {Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}, local=True
    )
    curve.generate_keypair(store=True, id=reference, label=name, mechanism=Mechanism.EC_KEY_PAIR_GEN)


def _put_back(session: pkcs11.Session, reference: bytes, kept: Path, folder: Path) -> None:
    for item in session.get_objects({Attribute.ID: reference}):
        item.destroy()
    for path in kept.iterdir():
        if not (folder / path.name).exists():
            shutil.copy2(path, folder)
    # Files are looked at again when the token says that it has changed: change it.
    session.create_object({Attribute.CLASS: ObjectClass.DATA, Attribute.TOKEN: True, Attribute.VALUE: b"x"}).destroy()


def _change(change: str, module: str, label: str, reference: str, kept: str, folder: str) -> None:
    with pkcs11.lib(module).get_token(token_label=label).open(rw=True, user_pin=sys.stdin.read()) as session:
        if change == "swap":
            _swap(session, bytes.fromhex(reference))
        else:
            _put_back(session, bytes.fromhex(reference), Path(kept), Path(folder))


if __name__ == "__main__":
    _change(*sys.argv[1:])
