"""Signing OCSP responses before anyone asks: many in one round trip, stored with the version of what they tell."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType

from ca.context import Authority, Responder
from ca.records import ToldStatus, ToPresign
from ca.signing import sign_structures
from ca.status.answer_store import SignedAnswer
from ca.status.ocsp import SingleAnswer, build_response_data, issuer_prefix, usual_cert_id, wrap_response
from hsm.provider import KeyProvider
from pki import der
from pki.errors import ErrorCode, Unavailable


def living_responder(
    authority: Authority, now: datetime, known: Mapping[tuple[str, str], ToldStatus] = MappingProxyType({})
) -> Responder:
    """Return the authority's delegate; Unavailable when it has none, or one that is revoked, held or out of date.

    `known`: what the rows say now, by serial number and issuer; the authorities were read up to a minute ago.
    """
    responder = authority.responder
    if responder is None:
        raise Unavailable(ErrorCode.UNAVAILABLE, "this authority has no OCSP responder")
    told = known.get((responder.certificate.serial_hex, authority.issuer.label.value))
    if responder.listed if told is None else told.status.listed:
        raise Unavailable(ErrorCode.UNAVAILABLE, "the OCSP responder's certificate is revoked or on hold")
    if not responder.certificate.not_before <= now <= responder.certificate.not_after:
        raise Unavailable(ErrorCode.UNAVAILABLE, "the OCSP responder's certificate must be renewed")
    return responder


def sign_responses(keys: KeyProvider, responder: Responder, messages: Sequence[bytes]) -> tuple[bytes, ...]:
    """Have ResponseData signed and wrap each into a whole OCSPResponse."""
    certificate = responder.certificate
    signed = sign_structures(keys, responder.key_label, certificate.public_key, messages)
    return tuple(wrap_response(basic, certificate) for basic in signed)


def presign(
    keys: KeyProvider, authority: Authority, items: Sequence[ToPresign], now: datetime, validity: timedelta
) -> list[SignedAnswer]:
    """Sign the answer to the usual request about each certificate, which ends with the delegate at the latest."""
    if not items:
        return []
    responder = living_responder(authority, now)
    this_update = now.replace(microsecond=0)
    next_update = min(this_update + validity, responder.certificate.not_after)
    prefix = issuer_prefix(authority.certificate)
    messages = []
    for item in items:
        answer = SingleAnswer(
            cert_id=usual_cert_id(prefix, int(item.serial_hex, 16)),
            status=item.status,
            this_update=this_update,
            next_update=next_update,
            cert_sha256=item.cert_sha256,
            archive_cutoff=authority.certificate.not_before,
        )
        messages.append(build_response_data(responder.certificate, [answer], this_update))
    signed = sign_structures(keys, responder.key_label, responder.certificate.public_key, messages)
    times = int(this_update.timestamp()), int(next_update.timestamp())
    return [
        SignedAnswer(
            serial_hex=item.serial_hex,
            version=item.status_version,
            this_update=times[0],
            next_update=times[1],
            signed=der.parse(basic).content,
        )
        for item, basic in zip(items, signed, strict=True)
    ]
