"""Memory that is never written to disk: not to swap, not to a core dump, not inherited (mlock(2), madvise(2))."""

import ctypes
import mmap
import os
import resource
from typing import Final

from hsm.errors import ConfigurationInvalid

LIBC: Final = ctypes.CDLL(None, use_errno=True)

_MCL_CURRENT: Final = 1
_MCL_FUTURE: Final = 2


class LockedMemory:
    """A few pages for secrets, zero at first; they live as long as the process."""

    def __init__(self, size: int) -> None:
        """Lock `size` octets, rounded up to pages; ConfigurationInvalid when the system refuses."""
        self._pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        for advice in (mmap.MADV_DONTDUMP, mmap.MADV_DONTFORK):
            self._pages.madvise(advice)
        self.view = memoryview(self._pages)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._pages))
        if LIBC.mlock(ctypes.c_void_p(address), ctypes.c_size_t(size)) != 0:
            raise ConfigurationInvalid(f"memory cannot be locked: {os.strerror(ctypes.get_errno())}")


def wipe(view: memoryview | bytearray) -> None:
    """Overwrite with zeros."""
    view[:] = bytes(len(view))


def lock_all_memory() -> bool:
    """Keep this whole process out of swap where its user may; False where the pages of `LockedMemory` must do."""
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] != resource.RLIM_INFINITY and os.geteuid() != 0:
        return False  # a limit would be reached later, by an allocation that fails
    return bool(LIBC.mlockall(_MCL_CURRENT | _MCL_FUTURE) == 0)
