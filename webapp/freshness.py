"""How long a status answer may be kept by caches: read from the answer's own times (RFC 5019 §6.2).

Caches may keep an answer for a minute at most, unless the deployer says otherwise, although it is valid longer: a
revocation has to be felt soon, and a cache that asks once a minute costs nothing.
"""

import hashlib
import math
from dataclasses import dataclass
from datetime import datetime
from email.utils import formatdate
from functools import lru_cache
from typing import Final

from ca.status.answer_store import StoredAnswer
from pki import der
from pki.errors import ServiceError
from webapp.status_settings import MAX_AGE_SECONDS

SETTLED_SECONDS: Final = 2
"""After which no other answer bears the same thisUpdate: a date alone tells apart what is older."""

_NONCE: Final = bytes.fromhex("06092b0601050507300102")  # id-pkix-ocsp-nonce, RFC 9654 §2.1
_SUCCESSFUL: Final = b"\x00"
_GENERALIZED_TIME: Final = 0x18
_UNKNOWN: Final = 0x82
_NEXT_UPDATE: Final = 0xA0


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """What cache headers need; times are POSIX seconds, None where the answer names none."""

    etag: str
    this_update: int | None
    next_update: int | None

    def headers(self, now: datetime, max_age: int = MAX_AGE_SECONDS, *, under_way: int = 0) -> list[tuple[str, str]]:
        """Write the cache headers; an answer without times, or past its end, is not to be kept.

        `under_way`: for so many seconds it may be remembered before it is sent, and must still promise nothing wrong.
        """
        if self.this_update is None or self.next_update is None:
            return [("Cache-Control", "no-store")]
        left = self.next_update - math.ceil(now.timestamp()) - under_way  # a second that has begun is not promised
        if left <= 0:
            return [("Cache-Control", "no-store")]
        headers = [
            ("Cache-Control", f"public, no-transform, must-revalidate, max-age={min(left, max_age)}"),
            ("ETag", self.etag),
            ("Expires", _http_date(min(self.next_update, int(now.timestamp()) + max_age))),
        ]
        if now.timestamp() - self.this_update >= SETTLED_SECONDS:
            headers.append(("Last-Modified", _http_date(self.this_update)))
        return headers


@lru_cache(maxsize=256)
def _http_date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)


def etag_of(data: bytes) -> str:
    """Name the exact bytes of a body."""
    return f'"{hashlib.sha256(data).hexdigest()[:32]}"'


@lru_cache(maxsize=16384)
def ocsp_freshness(response: bytes) -> Freshness:
    """Read thisUpdate and nextUpdate of an OCSP response: what counts is the newest of the one, the first of the other.

    None for an error, a nonce, and `unknown`: a certificate that is known a moment later must not stay unknown.
    """
    this_update = next_update = None
    try:
        outer = der.parse(response).sequence()
        if outer[0].content == _SUCCESSFUL and _NONCE not in response:
            basic = der.parse(outer[1].inner().sequence()[1].octets())
            fields = [field for field in basic.sequence()[0].sequence() if field.tag not in (0xA0, 0xA1, 0xA2)]
            singles = [single.sequence() for single in fields[1].sequence()]
            if all(single[1].tag != _UNKNOWN and single[3].tag == _NEXT_UPDATE for single in singles):
                this_update = max(int(single[2].time().timestamp()) for single in singles)
                next_update = min(int(single[3].inner().time().timestamp()) for single in singles)
    except (ServiceError, IndexError, ValueError):
        this_update = next_update = None
    return Freshness(etag=etag_of(response), this_update=this_update, next_update=next_update)


def stored_freshness(answer: StoredAnswer, now: datetime, max_age: int) -> tuple[tuple[str, str], ...]:
    """Write the cache headers of an answer whose times are known."""
    freshness = Freshness(etag=etag_of(answer.der), this_update=answer.this_update, next_update=answer.next_update)
    return tuple(freshness.headers(now, max_age))


def crl_freshness(crl: bytes) -> Freshness:
    """Read thisUpdate and nextUpdate of a CRL (RFC 5280 §5.1.2)."""
    this_update = next_update = None
    try:
        times = [field for field in der.parse(crl).sequence()[0].sequence() if field.tag in (0x17, _GENERALIZED_TIME)]
        this_update = int(times[0].time().timestamp())
        next_update = int(times[1].time().timestamp())
    except (ServiceError, IndexError, ValueError):
        this_update = next_update = None
    return Freshness(etag=etag_of(crl), this_update=this_update, next_update=next_update)
