"""A network HSM that is killed, hangs, restarts with other slots or loses its token: `p11-kit server` over SoftHSM2."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pkcs11
import pytest
from pkcs11 import Attribute, KeyType, Mechanism
from pkcs11.util.ec import encode_named_curve_parameters

from hsm.child_process import child_environment, module_command
from hsm.softhsm import SoftHsmToken, create_softhsm_token

CLIENT_MODULE: Final = Path("/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so")

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
        self._away = token.configuration.parent / "away"
        self._others = 0

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
        deadline = time.monotonic() + 10
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
        """Start it again with one more token beside ours, so that slots may have other numbers."""
        self.kill()
        self._others += 1
        other = create_softhsm_token(self._socket.parent / f"other-{self._others}", f"other-{self._others}")
        (folder,) = (other.configuration.parent / "tokens").iterdir()
        folder.rename(self._tokens / folder.name)
        self.start()

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
        return [path for path in self._tokens.glob("*/*") if path.name not in ("token.object", "generation")]

    def swap_key(self, reference: bytes) -> None:
        """Put another P-256 key in the place of one: same id, same label; the device runs on meanwhile."""
        made = subprocess.run(
            module_command("tests.support.lost_hsm", str(self._token.module_path), self._token.label, reference.hex()),
            input=self._token.pin.reveal(),
            env=child_environment(**self._token.environment),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert made.returncode == 0, made.stderr


def _swap(module: str, label: str, reference: bytes, pin: str) -> None:
    with pkcs11.lib(module).get_token(token_label=label).open(rw=True, user_pin=pin) as session:
        old = list(session.get_objects({Attribute.ID: reference}))
        assert len(old) == 2, f"{len(old)} objects have this id"
        name = old[0][Attribute.LABEL]
        for item in old:
            item.destroy()
        curve = session.create_domain_parameters(
            KeyType.EC, {Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}, local=True
        )
        curve.generate_keypair(store=True, id=reference, label=name, mechanism=Mechanism.EC_KEY_PAIR_GEN)


if __name__ == "__main__":
    _swap(sys.argv[1], sys.argv[2], bytes.fromhex(sys.argv[3]), sys.stdin.read())
