"""One world of certificates and its good files for all verdict tests."""

import pytest

from signer.formats.cades import sign_cades
from signer.formats.jades import sign_jades
from signer.formats.pades import sign_pades
from signer.samples import sample_pdf
from tests.support.zoo import SIGNED_AT, Zoo, make_zoo

CONTENT = b'{"resourceType":"Bundle","type":"document","dose":1.50}'


@pytest.fixture(scope="session")
def zoo() -> Zoo:
    return make_zoo()


@pytest.fixture(scope="session")
def content() -> bytes:
    return CONTENT


@pytest.fixture(scope="session")
def cades(zoo: Zoo) -> bytes:
    return sign_cades(CONTENT, zoo.clinician.key, zoo.clinician.chain, signed_at=SIGNED_AT, detached=False)


@pytest.fixture(scope="session")
def jades(zoo: Zoo) -> bytes:
    return sign_jades(CONTENT, zoo.clinician.key, zoo.clinician.chain, signed_at=SIGNED_AT)


@pytest.fixture(scope="session")
def pades(zoo: Zoo) -> bytes:
    return sign_pades(sample_pdf(), zoo.clinician.key, zoo.clinician.chain, signed_at=SIGNED_AT)
