"""A machine's clock that tests move while programs run: a small library is loaded before their own ones.

It is compiled here, because what is packaged for this caches the time or moves the monotonic clock as well.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

_VARIABLE = "MOVED_CLOCK"
_SOURCE = f"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile long long *seconds;

__attribute__((constructor)) static void begin(void) {{
    const char *path = getenv("{_VARIABLE}");
    int file = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    void *page = mmap(NULL, sizeof *seconds, PROT_READ, MAP_SHARED, file, 0);
    if (page != MAP_FAILED) seconds = page;
    close(file);
}}

int clock_gettime(clockid_t clock, struct timespec *at) {{
    int failed = (int)syscall(SYS_clock_gettime, clock, at);
    if (!failed && seconds != NULL && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        at->tv_sec += *seconds;
    return failed;
}}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {{
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}}

time_t time(time_t *at) {{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at != NULL) *at = now.tv_sec;
    return now.tv_sec;
}}
"""


def has_compiler() -> bool:
    """Whether such a clock can be made here."""
    return shutil.which("cc") is not None or shutil.which("gcc") is not None


class MovedClock:
    """What programs with this `environment` take for the time; it is the true one until it is moved."""

    def __init__(self, folder: Path) -> None:
        """Make it in a folder that whoever runs those programs can read; skips where nothing is compiled."""
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            pytest.skip("no C compiler")
        library, self._file = folder / "moved_clock.so", folder / "moved_clock"
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-O1", "-o", library, "-xc", "-"],
            input=_SOURCE,
            text=True,
            check=True,
            timeout=60,
        )
        self._file.write_bytes(bytes(8))
        for path in (library, self._file):
            path.chmod(0o644)
        self.environment: Mapping[str, str] = {"LD_PRELOAD": str(library), _VARIABLE: str(self._file)}
        self.ahead = timedelta()

    def set_ahead(self, by: timedelta) -> None:
        """Be ahead of the true time by this many whole seconds, or behind it; programs that run see it at once."""
        seconds = int(by.total_seconds())
        self.ahead = timedelta(seconds=seconds)
        with self._file.open("r+b") as file:  # in place: it is mapped
            file.write(struct.pack("=q", seconds))

    def now(self) -> datetime:
        """Return what those programs read now."""
        return datetime.now(UTC) + self.ahead
