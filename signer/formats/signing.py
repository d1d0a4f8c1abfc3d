"""What every emitter does around a key: bounded input, the right key, and a signature checked at once."""

from collections.abc import Sequence
from typing import Final

from pki.certificates import Certificate
from pki.errors import ErrorCode, InvalidInput, VerificationFailed
from pki.keys import ReadsContent, SigningKey, verify_signature
from signer.errors import SignerMismatch

MAX_DOCUMENT_OCTETS: Final = 50 * 1024 * 1024


def check_size(data: bytes) -> None:
    """Refuse an empty document and one above 50 MiB (InvalidInput)."""
    if not data:
        raise InvalidInput(ErrorCode.INPUT_EMPTY)
    if len(data) > MAX_DOCUMENT_OCTETS:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, f"{len(data)} octets, at most {MAX_DOCUMENT_OCTETS}")


def signer_of(key: SigningKey, chain: Sequence[Certificate]) -> Certificate:
    """Return the leaf of `chain`, leaf first; SignerMismatch unless its public key is `key`'s.

    Asked before anything is signed, so that a wrong key costs no PIN. Validity, usages and trust of the
    certificate are not looked at: they are the verifier's.
    """
    if not chain:
        raise SignerMismatch("no certificate was given")
    if chain[0].public_key != key.public_key():
        raise SignerMismatch("the key does not belong to the certificate")
    return chain[0]


def sign_checked(key: SigningKey, message: bytes, *, content: bytes | None = None) -> bytes:
    """Sign `message` (X.509 encoding) and verify it before it leaves; SignerMismatch when it does not hold.

    `content` is what a SET of signed attributes digests: a key that reads it is shown it.
    """
    if content is not None and isinstance(key, ReadsContent):
        signature = key.sign_attributes(message, content)
    else:
        signature = key.sign(message)
    try:
        verify_signature(key.public_key(), signature, message, key.algorithm)
    except VerificationFailed as error:
        raise SignerMismatch("the key returned a signature that does not verify") from error
    return signature
