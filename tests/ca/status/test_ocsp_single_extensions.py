from __future__ import annotations

import hashlib
from datetime import timedelta

from ca.status.ocsp import (
    CERT_HASH,
    OCSP_ARCHIVE_CUTOFF,
    SingleAnswer,
    build_response_data,
    issuer_prefix,
    usual_cert_id,
)
from ca.status.revocation import CertificateState, Status
from pki import der, oids
from pki.certificates import Certificate, read_extensions
from tests.ca.conftest import Ceremony
from tests.ca.world import START


def test_cert_hash_and_archive_cutoff_stand_in_the_single_extensions(ceremony: Ceremony) -> None:
    issuer = Certificate.parse(ceremony.hierarchy.certificate("systems"))
    delegate = Certificate.parse(ceremony.hierarchy.certificate("ocsp-systems"))
    digest = hashlib.sha256(b"a certificate").digest()
    answer = SingleAnswer(
        cert_id=usual_cert_id(issuer_prefix(issuer), 7),
        status=Status(state=CertificateState.GOOD),
        this_update=START,
        next_update=START + timedelta(hours=1),
        cert_sha256=digest,
        archive_cutoff=issuer.not_before,
    )
    (single,) = der.parse(build_response_data(delegate, [answer], START)).sequence()[2].sequence()
    found = read_extensions(single.sequence()[4].expect(0xA1).inner())
    assert not any(extension.critical for extension in found.values())
    assert der.parse(found[OCSP_ARCHIVE_CUTOFF].value).time() == issuer.not_before
    algorithm, value = der.parse(found[CERT_HASH].value).sequence()
    assert (algorithm.sequence()[0].oid(), value.octets()) == (oids.SHA256, digest)
