"""Having to-be-signed bytes signed by a device key, and putting the signed structure together.

What is signed is what was given, octet for octet; every signature is checked before anyone sees it.
"""

from collections.abc import Sequence

from hsm.provider import KeyProvider, SignsMany
from pki import der
from pki.errors import ServiceError, Unavailable
from pki.keys import PublicKey, SignatureAlgorithm, algorithm_identifier, verify_signature


def signed_structure(tbs: bytes, public_key: PublicKey, signature: bytes, algorithm: SignatureAlgorithm) -> bytes:
    """Join to-be-signed bytes and signature as X.509 and OCSP do: `SEQUENCE { tbs, algorithm, BIT STRING }`.

    VerificationFailed when the signature does not hold under `public_key`.
    """
    verify_signature(public_key, signature, tbs, algorithm)
    tail = algorithm_identifier(algorithm) + der.bit_string(signature)
    return b"".join((der.header(der.SEQUENCE, len(tbs) + len(tail)), tbs, tail))  # a list of 50 MB is copied once


def sign_structures(
    keys: KeyProvider, label: str, public_key: PublicKey, messages: Sequence[bytes]
) -> tuple[bytes, ...]:
    """Sign each message with the key `label`, in one round trip where the provider can; all or none.

    VerificationFailed when the device's key is not `public_key`.
    """
    key = keys.signing_key(label)
    if len(messages) > 1 and isinstance(keys, SignsMany):
        signatures = keys.sign_many(label, messages)
    else:
        signatures = tuple(key.sign(message) for message in messages)
    pairs = zip(messages, signatures, strict=True)
    return tuple(signed_structure(message, public_key, signature, key.algorithm) for message, signature in pairs)


def sign_apart(
    keys: KeyProvider, label: str, public_key: PublicKey, messages: Sequence[bytes]
) -> tuple[bytes | ServiceError, ...]:
    """Sign as `sign_structures`; one message that is refused takes none of the others with it."""
    try:
        return sign_structures(keys, label, public_key, messages)
    except Unavailable as error:
        return (error,) * len(messages)
    except ServiceError as error:
        if len(messages) == 1:
            return (error,)
    return tuple(sign_apart(keys, label, public_key, [message])[0] for message in messages)
