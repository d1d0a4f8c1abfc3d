"""The printed prescription code: COSE_Sign1 over CWT claims as the text of a QR code, level B-B, deterministic.

The signer's certificate stands in the protected header (RFC 9360 §2), or a `kid` in its place where the reader has
the certificate. The claims hold dates, the SHA-256 of the document and, of a FHIR prescription, its items.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Final

from pki import cbor
from pki.certificates import Certificate
from pki.errors import ErrorCode, InvalidInput
from pki.jose import exact_json
from pki.keys import COSE_ALGORITHMS, SignatureAlgorithm, SigningKey, jose_signature
from signer import prescription_code as code
from signer.fhir import prescribed_items
from signer.formats.signing import check_size, sign_checked, signer_of

VALID_FOR: Final = timedelta(days=30)
MAX_CHARACTERS: Final = 4296  # what one QR code holds (ISO/IEC 18004 table 7, version 40-L)


def sign_cose(
    document: bytes,
    key: SigningKey,
    chain: Sequence[Certificate],
    *,
    signed_at: datetime,
    valid_for: timedelta = VALID_FOR,
    with_certificate: bool = True,
) -> bytes:
    """Sign the code that belongs to `document` and return its text.

    `chain` is the signer's certificate first; it alone travels, and not even it without `with_certificate`. A FHIR
    document's items are copied into the code. InvalidInput for an empty or oversized document, for a key of
    another algorithm (`key-refused`) and for a code that no QR code holds (`document-unsignable`); SignerMismatch
    for a key that is not the certificate's.
    """
    check_size(document)
    leaf = signer_of(key, chain)
    protected = _protected(leaf, key.algorithm, with_certificate=with_certificate)
    issued = int(signed_at.timestamp())
    prescription: dict[cbor.Key, cbor.Value] = {code.DOCUMENT_SHA256: sha256(document).digest()}
    items = _items(document)
    if items:
        prescription[code.ITEMS] = items
    payload = cbor.encode(
        {
            code.EXP: issued + int(valid_for.total_seconds()),
            code.IAT: issued,
            code.CTI: code.document_id(document),
            code.PRESCRIPTION: prescription,
        }
    )
    value = jose_signature(key.algorithm, sign_checked(key, code.signature_input(protected, payload)))
    text = code.to_text(cbor.encode(cbor.Tag(code.COSE_SIGN1, [protected, {}, payload, value])))
    if len(text) > MAX_CHARACTERS:
        raise InvalidInput(ErrorCode.DOCUMENT_UNSIGNABLE, f"a code of {len(text)} characters")
    return text


@lru_cache(maxsize=256)
def _protected(leaf: Certificate, algorithm: SignatureAlgorithm, *, with_certificate: bool) -> bytes:
    number = COSE_ALGORITHMS.get(algorithm)
    if number is None:
        raise InvalidInput(ErrorCode.KEY_REFUSED, f"documents are not signed with {algorithm}")
    named: dict[cbor.Key, cbor.Value] = {code.X5CHAIN: leaf.der} if with_certificate else {code.KID: code.key_id(leaf)}
    return cbor.encode({code.ALG: number, **named})


def _items(document: bytes) -> list[cbor.Value]:
    """Return medicine, quantity and directions of each item; none for what is no FHIR document."""
    try:
        found = exact_json(document)
    except InvalidInput:
        return []
    return [list(item) for item in prescribed_items(found)]
