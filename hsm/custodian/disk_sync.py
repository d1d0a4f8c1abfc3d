"""Have the kernel make a file durable while its writer goes on (Linux AIO: io_setup(2), io_submit(2)).

The kernel says through an event descriptor (eventfd(2)) that it is done. One sync is under way at a time. Where
the kernel has no such service to give, the journal waits for its disk itself, which costs a third of its speed.
"""

import ctypes
import os
import platform
from contextlib import suppress
from typing import Final, NamedTuple


class _Calls(NamedTuple):
    """The numbers of the system calls, for which the C library has no functions."""

    setup: int
    destroy: int
    submit: int
    getevents: int


_CALLS: Final = {
    "x86_64": _Calls(setup=206, destroy=207, submit=209, getevents=208),
    "aarch64": _Calls(setup=0, destroy=1, submit=2, getevents=4),
}
_FDSYNC: Final = 3  # IOCB_CMD_FDSYNC
_EVENT_DESCRIPTOR: Final = 1  # IOCB_FLAG_RESFD


class _ControlBlock(ctypes.Structure):
    """struct iocb of linux/aio_abi.h, little endian."""

    _fields_ = (
        ("data", ctypes.c_uint64),
        ("key", ctypes.c_uint32),
        ("rw_flags", ctypes.c_uint32),
        ("operation", ctypes.c_uint16),
        ("priority", ctypes.c_int16),
        ("file", ctypes.c_uint32),
        ("buffer", ctypes.c_uint64),
        ("octets", ctypes.c_uint64),
        ("offset", ctypes.c_int64),
        ("reserved", ctypes.c_uint64),
        ("flags", ctypes.c_uint32),
        ("event_descriptor", ctypes.c_uint32),
    )


class _Event(ctypes.Structure):
    """struct io_event of linux/aio_abi.h."""

    _fields_ = (
        ("data", ctypes.c_uint64),
        ("block", ctypes.c_uint64),
        ("result", ctypes.c_int64),
        ("result2", ctypes.c_int64),
    )


class DiskSync:
    """One file's data going to the disk, or none's. `descriptor` can be read once `end` need not wait."""

    def __init__(self) -> None:
        """OSError where there is no such service."""
        calls = _CALLS.get(platform.machine())
        if calls is None:
            raise OSError("the numbers of this machine's system calls are not known")
        self._call = ctypes.CDLL(None, use_errno=True).syscall
        self._call.restype = ctypes.c_long
        self._context = ctypes.c_ulong(0)
        if self._call(ctypes.c_long(calls.setup), ctypes.c_long(1), ctypes.byref(self._context)) != 0:
            raise OSError(ctypes.get_errno(), "io_setup was refused")
        self.descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._block = _ControlBlock(operation=_FDSYNC, flags=_EVENT_DESCRIPTOR, event_descriptor=self.descriptor)
        self._event = _Event()
        # Made once: they are passed for every group of entries.
        one, blocks = ctypes.c_long(1), (ctypes.POINTER(_ControlBlock) * 1)(ctypes.pointer(self._block))
        self._submit = (ctypes.c_long(calls.submit), self._context, one, blocks)
        self._take = (ctypes.c_long(calls.getevents), self._context, one, one, ctypes.byref(self._event), None)
        self._destroy = (ctypes.c_long(calls.destroy), self._context)

    def begin(self, file: int) -> bool:
        """Begin to make the data of a file descriptor durable; False when the kernel does not take it on."""
        self._block.file = file
        return bool(self._call(*self._submit) == 1)

    def end(self) -> None:
        """Wait until it is done; OSError when the data did not reach the disk."""
        while self._call(*self._take) != 1:
            pass  # a signal came first
        with suppress(BlockingIOError):
            os.eventfd_read(self.descriptor)
        if self._event.result < 0:
            error = -int(self._event.result)
            raise OSError(error, os.strerror(error))

    def close(self) -> None:
        """Give back what the kernel keeps for us; waits for what is under way."""
        self._call(*self._destroy)
        os.close(self.descriptor)


def disk_sync() -> DiskSync | None:
    """Return the kernel's service; None where it has none for us."""
    try:
        return DiskSync()
    except OSError:
        return None
