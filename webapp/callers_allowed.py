"""Who may read what is for the operator's own machines: callers of named networks, seen directly.

A proxy's word on whom it speaks for is never taken: a request that says it was passed on is refused.
"""

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final

from pki.errors import ErrorCode, InvalidInput

LOOPBACK: Final = ("127.0.0.0/8", "::1/128")
_PASSED_ON: Final = ("HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_REAL_IP", "HTTP_VIA")
Network = IPv4Network | IPv6Network


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Read networks such as `10.1.2.0/24`; InvalidInput for anything else."""
    try:
        return tuple(ip_network(text) for text in texts)
    except ValueError as error:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "a network is address/bits, as in 10.1.2.0/24") from error


def is_allowed(environ: Mapping[str, Any], allowed: Iterable[Network]) -> bool:
    """Whether the other end of the connection itself is in one of these networks."""
    if any(name in environ for name in _PASSED_ON):
        return False
    try:
        address = ip_address(str(environ.get("REMOTE_ADDR", "")))
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in allowed)
