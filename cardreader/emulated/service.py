"""A pcscd of one's own inside the present namespaces: which programs it needs, how it is started and ended."""

import fcntl
import shutil
import socket
import struct
import subprocess
import time
from pathlib import Path
from typing import Final

from cardreader.errors import CardUnsupported, ReaderServiceDown

RUNTIME: Final = Path("/run/pcscd")  # compiled into pcscd
_SYSTEM_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DRIVERS: Final = tuple(Path(folder, "pcsc/drivers/serial/libifdvpcd.so") for folder in ("/usr/lib", "/usr/local/lib"))
_READER_CONF: Final = """FRIENDLYNAME "Virtual PCD"
DEVICENAME   /dev/null:0x8C7B
LIBPATH      {driver}
CHANNELID    0x8C7B
"""
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 0x1
_START_SECONDS: Final = 20.0


def program(name: str) -> str:
    """Return the path of a system program; CardUnsupported when this machine lacks it."""
    found = shutil.which(name, path=_SYSTEM_PATH)
    if found is None:
        raise CardUnsupported(f"this machine lacks the program {name}")
    return found


def virtual_reader_driver() -> Path:
    """Return the path of vsmartcard's reader driver; CardUnsupported when it is not installed."""
    for path in _DRIVERS:
        if path.exists():
            return path
    raise CardUnsupported("this machine lacks vsmartcard-vpcd")


def loopback_up() -> None:
    """Bring `lo` up in this network namespace, without the `ip` program."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        fcntl.ioctl(handle, _SIOCSIFFLAGS, struct.pack("16sh", b"lo", _IFF_UP))


def bind_runtime_folder(folder: Path) -> None:
    """Put `folder` where pcscd keeps its socket, in this mount namespace; ReaderServiceDown when refused."""
    try:
        if not RUNTIME.is_dir():
            _make_runtime_folder()
        _mount("--bind", str(folder), str(RUNTIME))
    except (OSError, subprocess.CalledProcessError) as error:
        raise ReaderServiceDown("the private reader stack may not mount its folder") from error


def _make_runtime_folder() -> None:
    try:
        RUNTIME.mkdir()
    except PermissionError:  # root of a user namespace alone: make an empty /run of its own
        _mount("-t", "tmpfs", "tmpfs", str(RUNTIME.parent))
        RUNTIME.mkdir()


def _mount(*words: str) -> None:
    subprocess.run([program("mount"), *words], check=True, capture_output=True)  # noqa: S603  # fixed program, single arguments


class ReaderService:
    """A pcscd that knows the virtual reader alone and touches no real one."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "pcscd.log"
        self._configuration, self._no_drivers = folder / "readers", folder / "no-usb-drivers"
        self._configuration.mkdir(exist_ok=True)
        self._no_drivers.mkdir(exist_ok=True)
        (self._configuration / "vpcd").write_text(_READER_CONF.format(driver=virtual_reader_driver()))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start pcscd and wait for its socket; ReaderServiceDown when it does not come. It dies with this process."""
        if self._process is not None:
            return
        words = [program("setpriv"), "--pdeathsig", "KILL", program("pcscd"), "--foreground"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  # fixed programs, single arguments
                [*words, "--config", str(self._configuration)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PCSCLITE_HP_DROPDIR": str(self._no_drivers)},  # no USB driver, hence no real reader
            )
        deadline = time.monotonic() + _START_SECONDS
        while not (RUNTIME / "pcscd.comm").exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise ReaderServiceDown("pcscd did not start")
            time.sleep(0.005)

    def stop(self) -> None:
        """End pcscd at once, as a crash would, and remove what it leaves."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            for name in ("pcscd.comm", "pcscd.pid"):
                (RUNTIME / name).unlink(missing_ok=True)
