"""A device link over SoftHSM2 and the loop of its owner, for tests of what is below the custodian."""

import select
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hsm.device.calls import DeviceAnswer, Done
from hsm.device.child import DeviceOrder
from hsm.device.link import DeviceLink
from hsm.private_files import write_private
from hsm.softhsm import SoftHsmToken
from pki.errors import ServiceError
from tests.support.patience import PATIENCE


def order_for(token: SoftHsmToken, folder: Path, **changes: object) -> DeviceOrder:
    """Describe `token` as a device, with its PIN in an owner-only file of `folder`."""
    write_private(folder / "pin", token.pin.reveal().encode())
    members: dict[str, object] = {
        "device": {"kind": "pkcs11", "module": str(token.module_path), "token": token.label},
        "pin": {"file": str(folder / "pin")},
        "tries_file": folder / "tries",
        "pin_tries": 2,
        "environment": token.environment,
    }
    return DeviceOrder(**{**members, **changes})  # type: ignore[arg-type]  # names are the order's own


@dataclass
class Owner:
    """Runs a link as the custodian's loop does, and counts the answers."""

    link: DeviceLink

    def run_until(self, met: Callable[[], object], patience: float = PATIENCE) -> None:
        """Turn the loop until `met`; fails when that takes too long."""
        limit = time.monotonic() + patience
        while not met():
            assert time.monotonic() < limit, "the link does not get there"
            self.turn()

    def turn(self, most: float = 0.05) -> None:
        """Turn the loop once; it waits for `most` seconds at most."""
        wait = min(self.link.tick(), most)
        watched = self.link.socket
        if watched is None:
            time.sleep(wait)
            return
        writing = [watched] if self.link.wants_writing else []
        readable, writable, _ = select.select([watched], writing, [], wait)
        if writable:
            self.link.on_writable()
        if readable:
            self.link.on_readable()

    def open(self) -> None:
        """Open the device and wait until it can be asked."""
        self.link.open()
        self.run_until(lambda: self.link.available or self.link.fatal)

    def ask(self, call: Callable[[Done], None], patience: float = PATIENCE) -> DeviceAnswer:
        """Make one call and wait for its answer."""
        answers: list[DeviceAnswer] = []
        call(answers.append)
        self.run_until(lambda: answers, patience)
        assert len(answers) == 1
        return answers[0]

    def value(self, call: Callable[[Done], None]) -> object:
        """Make one call that must succeed."""
        answer = self.ask(call)
        assert answer.error is None, answer.error
        return answer.value

    def error(self, call: Callable[[Done], None]) -> ServiceError:
        """Make one call that must fail."""
        error = self.ask(call).error
        assert error is not None
        return error
