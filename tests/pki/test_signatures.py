from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from pki import der, oids
from pki.errors import ErrorCode, InvalidInput
from pki.signatures import signature_hash, verify_value

PSS = der.oid(oids.RSASSA_PSS)
EMPTY = der.sequence()


@pytest.mark.parametrize(
    "algorithm",
    [
        EMPTY,
        der.sequence(PSS, der.sequence(der.context(0, EMPTY))),
        der.sequence(PSS, der.sequence(der.context(1, EMPTY))),
        der.sequence(PSS, der.sequence(der.context(1, der.sequence(der.oid(oids.SHA256), EMPTY)))),
    ],
)
def test_an_algorithm_of_another_form_is_refused(algorithm: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        signature_hash(der.parse(algorithm))
    assert caught.value.code is ErrorCode.KEY_REFUSED


def test_a_salt_that_cannot_be_is_not_called_a_broken_signature() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    sha256 = der.sequence(der.oid(oids.SHA256))
    mask = der.sequence(der.oid("1.2.840.113549.1.1.8"), sha256)
    salt = der.context(2, der.integer(-1))
    algorithm = der.sequence(PSS, der.sequence(der.context(0, sha256), der.context(1, mask), salt))
    with pytest.raises(InvalidInput):
        verify_value(key, der.parse(algorithm), bytes(256), b"")
