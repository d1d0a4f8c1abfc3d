"""Signing OCSP responses before anyone asks: many in one round trip, stored with the status they tell."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from ca.config import AuthoritySettings
from ca.context import Authority, Responder
from ca.records import ToPresign
from ca.signing import sign_structures
from ca.status.ocsp import SingleAnswer, build_response_data, issuer_prefix, usual_cert_id, wrap_response
from hsm.provider import KeyProvider
from pki.errors import ErrorCode, Unavailable

MAX_ROUND: Final = 500


def living_responder(authority: Authority, now: datetime) -> Responder:
    """Return the authority's delegate; Unavailable when it has none or its certificate does not hold now."""
    responder = authority.responder
    if responder is None:
        raise Unavailable(ErrorCode.UNAVAILABLE, "this authority has no OCSP responder")
    if not responder.certificate.not_before <= now <= responder.certificate.not_after:
        raise Unavailable(ErrorCode.UNAVAILABLE, "the OCSP responder's certificate must be renewed")
    return responder


def sign_responses(keys: KeyProvider, responder: Responder, messages: Sequence[bytes]) -> tuple[bytes, ...]:
    """Have ResponseData signed and wrap each into a whole OCSPResponse."""
    certificate = responder.certificate
    signed = sign_structures(keys, responder.key_label, certificate.public_key, messages)
    return tuple(wrap_response(basic, certificate) for basic in signed)


def presigned_rows(
    keys: KeyProvider, authority: Authority, items: Sequence[ToPresign], now: datetime, settings: AuthoritySettings
) -> list[dict[str, Any]]:
    """Sign the usual response for each certificate and make the rows that keep them."""
    if not items:
        return []
    responder = living_responder(authority, now)
    this_update = now.replace(microsecond=0)
    next_update = min(this_update + settings.ocsp_validity, responder.certificate.not_after)
    prefix = issuer_prefix(authority.certificate)
    messages = []
    for item in items:
        cert_id = usual_cert_id(prefix, int(item.serial_hex, 16))
        answer = SingleAnswer(cert_id=cert_id, status=item.status, this_update=this_update, next_update=next_update)
        messages.append(build_response_data(responder.certificate, [answer], this_update))
    return [
        {
            "serial": item.serial_hex,
            "status_version": item.status_version,
            "this_update": this_update,
            "next_update": next_update,
            "der": response,
        }
        for item, response in zip(items, sign_responses(keys, responder, messages), strict=True)
    ]
