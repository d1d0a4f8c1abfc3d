"""The worker's side: judge one file after the other until the line is closed, within limits of memory and time."""

import gc
import re
import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from signer.isolation.order import Order, Render
from signer.isolation.wire import Channel
from signer.validation.context import VerificationContext
from signer.validation.verify import verify_bytes

MEMORY_OCTETS: Final = 400 * 1024 * 1024
"""What a file may take of private memory, beyond what the program has at its start."""
CPU_SECONDS: Final = 15
"""What a file may take of the processor, should whoever waits for the answer be gone."""

Contexts = Callable[[], VerificationContext]


def serve(channel: Channel, contexts: Contexts, render: Render) -> None:
    """Answer orders until the other end closes the line."""
    limit = _limit_memory()
    gc.freeze()
    while True:
        try:
            order = Order.of(channel.receive())
        except (EOFError, OSError):
            return
        _allow_processor()
        context = contexts()
        if order.at is not None:
            context = replace(context, at=order.at)
        if order.content is not None:
            context = replace(context, content=order.content)
        answer = render(verify_bytes(order.data, context), order)
        channel.send(replace(answer, spent=_private_octets() > limit - MEMORY_OCTETS // 2).parts())


def _limit_memory() -> int:
    """Let allocations fail where a file asks for too much, and write no core of what was read; return the limit."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit = _private_octets() + MEMORY_OCTETS
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    return limit


def _private_octets() -> int:
    found = re.search(rb"^VmData:\s+(\d+) kB$", Path("/proc/self/status").read_bytes(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _allow_processor() -> None:
    """Have the kernel end us (SIGXCPU) when the next file takes too long."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + CPU_SECONDS, hard))
