"""The control time slides down a path (EN 319 102-1 §5.6.2.2), and a signature must be proven by what is left of it."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from signer.validation.anchors import Purpose
from signer.validation.evidence import Evidence
from signer.validation.existence import Existence
from signer.validation.judge import judge_certificate
from signer.validation.moment import Moment
from signer.validation.past import NotProven, slide
from signer.validation.path import CertificatePool
from signer.validation.policy import DEFAULT
from signer.validation.status import EmbeddedStatus
from tests.support.pki import NOW
from tests.support.zoo import SIGNED_AT, Zoo

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
REVOKED = NOW - DAY  # the issuing authority, as is known now
STAMPED = SIGNED_AT + HOUR


def known(zoo: Zoo, *, certificate: bool = True, status: bool = True, dated: datetime = SIGNED_AT) -> Evidence:
    """Return what is known now, and was known of the signer when all of it was stamped."""
    below = zoo.intermediate.crl(this_update=dated, next_update=NOW + DAY)
    above = zoo.root.crl({zoo.intermediate.certificate.serial: REVOKED})
    certificates = [holder.certificate for holder in (zoo.root, zoo.intermediate, zoo.clinician)]
    existence = Existence(NOW)
    if certificate:
        existence.extract((zoo.clinician.certificate.der,), STAMPED)
    if status:
        existence.extract((below,), STAMPED)
    return Evidence(
        pool=CertificatePool(certificates),
        sources=(EmbeddedStatus(crls=(above, below)),),
        anchors=frozenset((zoo.root.certificate,)),
        existence=existence,
    )


def test_the_control_time_slides_to_an_authoritys_revocation(zoo: Zoo) -> None:
    chain = (*zoo.clinician.chain, zoo.root.certificate)
    assert slide(chain, known(zoo), DEFAULT) == REVOKED


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"certificate": False}, "certificate"),
        ({"status": False}, "status of certificate"),
        ({"dated": NOW - HOUR}, "status of certificate"),  # it is dated after what proves that it was there
    ],
)
def test_what_did_not_exist_by_the_control_time_is_named(zoo: Zoo, changes: dict[str, Any], missing: str) -> None:
    chain = (*zoo.clinician.chain, zoo.root.certificate)
    with pytest.raises(NotProven, match=f"^{missing} {zoo.clinician.certificate.serial_hex} at "):
        slide(chain, known(zoo, **changes), DEFAULT)


@pytest.mark.parametrize(
    ("proven", "sub_indications"),
    [(STAMPED, []), (REVOKED - HOUR, []), (REVOKED + HOUR, ["REVOKED_CA_NO_POE"])],
)
def test_a_signature_stands_that_is_proven_by_the_control_time(
    zoo: Zoo, proven: datetime, sub_indications: list[str]
) -> None:
    moment = Moment(at=proven, proven=True)
    judged = judge_certificate(zoo.clinician.certificate, known(zoo), moment, Purpose.DOCUMENT, zoo.context())
    assert [finding.sub_indication for finding in judged.findings if finding.indication] == sub_indications
