"""SoftHSM2 tokens: one token in a folder of its own, made without a PIN in any command line.

`softhsm2-util` takes PINs as arguments, which every user of the machine can read; so a child process
asks the module itself (PKCS#11 v2.40 §5.5, C_InitToken and C_InitPIN) and reads the PINs from a pipe.
"""

import ctypes
import json
import secrets
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hsm.child_process import child_environment, module_command
from hsm.errors import ConfigurationInvalid, HsmUnavailable
from hsm.pin import Pin
from hsm.private_files import write_private
from hsm.softhsm_guard import CONFIGURATION_VARIABLE, SoftHsmGuard

MODULE_PATHS: Final = (
    Path("/usr/lib/softhsm/libsofthsm2.so"),
    Path("/usr/lib64/pkcs11/libsofthsm2.so"),
    Path("/usr/local/lib/softhsm/libsofthsm2.so"),
)
CONFIGURATION_NAME: Final = "softhsm2.conf"
_PIN_OCTETS: Final = 16
_DEADLINE_SECONDS: Final = 30

_USER_SO: Final = 0
_SESSION_FLAGS: Final = 0x04 | 0x02  # CKF_SERIAL_SESSION, CKF_RW_SESSION


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftHsmToken:
    """A token that was just made. Its PINs are known here and nowhere else: the caller keeps or shows them."""

    module_path: Path
    label: str
    configuration: Path
    pin: Pin
    so_pin: Pin

    @property
    def environment(self) -> dict[str, str]:
        """What the module must find in the environment of the process that loads it."""
        return {CONFIGURATION_VARIABLE: str(self.configuration)}


def find_module() -> Path | None:
    """Return where SoftHSM2's module is on this machine; None when it is not installed."""
    return next((path for path in MODULE_PATHS if path.exists()), None)


def create_softhsm_token(folder: Path, label: str) -> SoftHsmToken:
    """Make a token called `label` with random PINs in a new `folder`.

    ConfigurationInvalid when the folder exists or cannot be made, HsmUnavailable when SoftHSM2 is missing or refuses.
    """
    module = find_module()
    if module is None:
        raise HsmUnavailable("SoftHSM2 is not installed")
    if not 1 <= len(label.encode()) <= 32:
        raise ConfigurationInvalid("a token label has 1 to 32 octets")
    try:
        folder.mkdir(mode=0o700, parents=True)
        (folder / "tokens").mkdir(mode=0o700)
    except OSError as error:
        raise ConfigurationInvalid(f"{folder.name}: {error.strerror}") from error
    configuration = folder.resolve() / CONFIGURATION_NAME
    settings = (
        f"directories.tokendir = {configuration.parent / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    write_private(configuration, (settings + "slots.removable = false\n").encode())
    pin, so_pin = secrets.token_hex(_PIN_OCTETS), secrets.token_hex(_PIN_OCTETS)
    order = {"module": str(module), "label": label, "pin": pin, "so_pin": so_pin}
    _run_child(order, configuration)
    guard = SoftHsmGuard(configuration)
    with guard.alone():
        guard.keep()
    return SoftHsmToken(
        module_path=module, label=label, configuration=configuration, pin=Pin(pin.encode()), so_pin=Pin(so_pin.encode())
    )


def _run_child(order: dict[str, str], configuration: Path) -> None:
    try:
        made = subprocess.run(  # noqa: S603 - our own interpreter and module, no argument from outside
            module_command("hsm.softhsm"),
            input=json.dumps(order).encode(),
            env=child_environment(**{CONFIGURATION_VARIABLE: str(configuration)}),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_DEADLINE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise HsmUnavailable("SoftHSM2 did not make a token in time") from error
    if made.returncode != 0:
        raise HsmUnavailable(f"SoftHSM2 made no token: {made.stderr.decode(errors='replace').strip()[-200:]}")


# --- the child ------------------------------------------------------------------------------------


def _call(library: ctypes.CDLL, name: str, *arguments: object) -> None:
    result = library[name](*arguments)
    if result != 0:
        raise HsmUnavailable(f"{name} answered {result:#x}")


def initialise_token(module: str, label: str, so_pin: bytes, pin: bytes) -> None:
    """Initialise the free slot that SoftHSM2 always shows; for a fresh process only."""
    library = ctypes.CDLL(module)
    _call(library, "C_Initialize", None)
    count = ctypes.c_ulong(16)
    slots = (ctypes.c_ulong * count.value)()
    _call(library, "C_GetSlotList", ctypes.c_ubyte(0), slots, ctypes.byref(count))
    slot = ctypes.c_ulong(slots[count.value - 1])
    padded = label.encode().ljust(32)  # CK_TOKEN_INFO.label: blank padded, without NUL
    _call(library, "C_InitToken", slot, so_pin, ctypes.c_ulong(len(so_pin)), padded)
    session = ctypes.c_ulong()
    _call(library, "C_OpenSession", slot, ctypes.c_ulong(_SESSION_FLAGS), None, None, ctypes.byref(session))
    _call(library, "C_Login", session, ctypes.c_ulong(_USER_SO), so_pin, ctypes.c_ulong(len(so_pin)))
    _call(library, "C_InitPIN", session, pin, ctypes.c_ulong(len(pin)))
    _call(library, "C_Finalize", None)


def main() -> int:
    """Read one order from standard input and carry it out; the exit code is 0 when the token is there."""
    order = json.load(sys.stdin)
    try:
        initialise_token(order["module"], order["label"], order["so_pin"].encode(), order["pin"].encode())
    except (HsmUnavailable, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - the one line the parent reads
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
