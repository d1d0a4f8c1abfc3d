"""Between which instants the private key of a certificate may be used."""

from datetime import datetime
from typing import Final

from pki import der, oids
from pki.certificates import Certificate
from pki.errors import ErrorCode, InvalidInput

_NOT_BEFORE: Final = 0x80
_NOT_AFTER: Final = 0x81


def key_period(certificate: Certificate) -> tuple[datetime, datetime]:
    """Return the first and the last instant: of the certificate, or of its privateKeyUsagePeriod (RFC 3280 §4.2.1.4).

    InvalidInput (`der-malformed`) for an extension that is none.
    """
    begins, ends = certificate.not_before, certificate.not_after
    extension = certificate.extensions.get(oids.PRIVATE_KEY_USAGE_PERIOD)
    if extension is None:
        return begins, ends
    for part in der.parse(extension.value).sequence():
        instant = der.parse(der.tlv(der.GENERALIZED_TIME, part.content)).time()
        if part.tag == _NOT_BEFORE:
            begins = max(begins, instant)
        elif part.tag == _NOT_AFTER:
            ends = min(ends, instant)
        else:
            raise InvalidInput(ErrorCode.DER_MALFORMED, "not a privateKeyUsagePeriod")
    return begins, ends
