"""A process that opens a device, tells the id of its device process and waits to be killed: `… MODULE FOLDER`."""

import sys
import time
from pathlib import Path

from hsm.device.child import DeviceOrder
from hsm.device.link import DeviceLink
from tests.support.device_links import Owner

if __name__ == "__main__":
    module_path, folder = sys.argv[1], Path(sys.argv[2])
    order = DeviceOrder(
        device={"kind": "pkcs11", "module": module_path, "token": "mohr-link"},
        pin={"file": str(folder / "pin")},
        tries_file=folder / "tries",
        pin_tries=2,
        environment={"SOFTHSM2_CONF": str(folder / "token" / "softhsm2.conf")},
    )
    owner = Owner(DeviceLink(order, time.monotonic))
    owner.open()
    print(owner.link.pid, flush=True)  # noqa: T201 - what the test reads
    time.sleep(60)
