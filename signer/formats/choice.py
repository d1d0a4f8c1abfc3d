"""Signing a document in the format that a caller names."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum, unique

from pki.certificates import Certificate
from pki.errors import ErrorCode, InvalidInput
from pki.keys import SigningKey
from signer.formats import cades, cose, jades, pades
from signer.timestamps.client import TimeStamper


@unique
class SignatureFormat(StrEnum):
    """The formats that Mohr emits."""

    JADES = "jades"
    CADES = "cades"
    PADES = "pades"
    COSE = "cose"


SUFFIXES = {
    SignatureFormat.JADES: ".jades.json",
    SignatureFormat.CADES: ".p7s",
    SignatureFormat.PADES: ".signed.pdf",
    SignatureFormat.COSE: ".code.txt",
}


def sign_as(
    form: SignatureFormat,
    data: bytes,
    key: SigningKey,
    chain: Sequence[Certificate],
    *,
    content_type: str,
    signed_at: datetime,
    stamper: TimeStamper | None,
) -> bytes:
    """Sign the exact `data` at baseline B, or T with a `stamper`; CAdES is detached.

    A code for printing (COSE) names the document by its digest, and takes no time-stamp (`document-unsignable`).
    """
    if form is SignatureFormat.COSE:
        if stamper is not None:
            raise InvalidInput(ErrorCode.DOCUMENT_UNSIGNABLE, "a prescription code has no room for a time-stamp")
        return cose.sign_cose(data, key, chain, signed_at=signed_at)
    if form is SignatureFormat.PADES:
        return pades.sign_pades(data, key, chain, signed_at=signed_at, stamper=stamper)
    if form is SignatureFormat.JADES:
        signed = jades.sign_jades(data, key, chain, signed_at=signed_at, content_type=content_type)
        return signed if stamper is None else jades.add_signature_timestamp(signed, stamper)
    signed = cades.sign_cades(data, key, chain, signed_at=signed_at)
    return signed if stamper is None else cades.add_signature_timestamp(signed, stamper)
