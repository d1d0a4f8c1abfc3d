"""pyHanko's own long-term validation of PDF as an independent judge over the same files, lists and times."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from io import BytesIO
from typing import Any

import pytest
from asn1crypto import crl as asn1_crl
from asn1crypto import x509 as asn1_x509
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation.ades import ades_lta_validation
from pyhanko.sign.validation.policy_decl import (
    LocalKnowledge,
    PdfSignatureValidationSpec,
    RevinfoOnlineFetchingRule,
    RevocationInfoGatheringSpec,
    SignatureValidationSpec,
)
from pyhanko_certvalidator.context import CertValidationPolicySpec
from pyhanko_certvalidator.ltv import ades_past
from pyhanko_certvalidator.ltv.types import ValidationTimingInfo
from pyhanko_certvalidator.policy_decl import REQUIRE_REVINFO, CertRevTrustPolicy
from pyhanko_certvalidator.registry import SimpleTrustManager
from pyhanko_certvalidator.revinfo.archival import CRLContainer

from signer.validation.verify import verify_bytes
from tests.support.long_term import Pades, Values, authority
from tests.support.pki import NOW
from tests.support.zoo import SIGNED_AT, Zoo

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
GATHERED, ARCHIVED, LATER = SIGNED_AT + HOUR, SIGNED_AT + 2 * HOUR, NOW + 730 * DAY


def peer(data: bytes, zoo: Zoo, at: datetime, lists: tuple[bytes, ...]) -> str:
    """Return pyHanko's sub-indication, OK where it passes."""
    trusted = SimpleTrustManager.build(trust_roots=[asn1_x509.Certificate.load(zoo.root.certificate.der)])
    policy = CertValidationPolicySpec(
        trust_manager=trusted, revinfo_policy=CertRevTrustPolicy(revocation_checking_policy=REQUIRE_REVINFO)
    )
    specification = SignatureValidationSpec(
        cert_validation_policy=policy,
        revinfo_gathering_policy=RevocationInfoGatheringSpec(RevinfoOnlineFetchingRule.LOCAL_ONLY),
        local_knowledge=LocalKnowledge(
            known_crls=[CRLContainer(asn1_crl.CertificateList.load(one)) for one in lists],
            known_certs=[asn1_x509.Certificate.load(zoo.intermediate.certificate.der)],
        ),
    )
    timing = ValidationTimingInfo(validation_time=at, best_signature_time=at, point_in_time_validation=True)
    signature = PdfFileReader(BytesIO(data)).embedded_regular_signatures[0]
    result = asyncio.run(ades_lta_validation(signature, PdfSignatureValidationSpec(specification), timing))
    return str(result.ades_subindic.name)  # type: ignore[attr-defined]  # every member is one of an enumeration


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[datetime], None]:
    """Set the time at which pyHanko starts to slide, which it takes from the machine."""

    def stand_at(at: datetime) -> None:
        class Standing(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Any:
                return at

        monkeypatch.setattr(ades_past, "datetime", Standing)

    return stand_at


@pytest.fixture(scope="module")
def files(zoo: Zoo) -> dict[str, bytes]:
    form, lasting = Pades(), authority(zoo.intermediate, LATER + 365 * DAY)
    when: dict[str, Any] = {"this_update": GATHERED, "next_update": GATHERED + 30 * DAY}
    values = Values(
        certificates=(zoo.intermediate.certificate, zoo.root.certificate),
        crls=(zoo.root.crl(**when), zoo.intermediate.crl(**when)),
    )
    with_values = form.with_values(form.signed(zoo.clinician, SIGNED_AT, zoo.stamper(SIGNED_AT)), values)
    return {"B-LT": with_values, "B-LTA": form.archived(with_values, lasting, ARCHIVED)}


@pytest.mark.parametrize(
    ("level", "at", "signer", "ca", "ours", "theirs"),
    [
        ("B-LTA", NOW, None, None, None, "OK"),
        ("B-LTA", NOW, None, NOW - HOUR, "REVOKED_CA_NO_POE", "NO_POE"),
        ("B-LTA", NOW, SIGNED_AT - HOUR, None, "REVOKED", "REVOKED_NO_POE"),
        ("B-LTA", LATER, None, NOW, "REVOKED_CA_NO_POE", "NO_POE"),
        ("B-LT", LATER, None, None, "OUT_OF_BOUNDS_NO_POE", "OUT_OF_BOUNDS_NO_POE"),
    ],
)
def test_pyhanko_passes_nothing_that_is_refused_here(
    zoo: Zoo,
    files: dict[str, bytes],
    clock: Callable[[datetime], None],
    level: str,
    at: datetime,
    signer: datetime | None,
    ca: datetime | None,
    ours: str | None,
    theirs: str,
) -> None:
    """It names what is missing in the path (NO_POE) where the standard repeats today's answer.

    Without an archive time-stamp it answers NO_POE to whatever is good, so such files are not put to it.
    """
    clock(at)
    when: dict[str, Any] = {"this_update": at - HOUR, "next_update": at + DAY}
    above = zoo.root.crl(None if ca is None else {zoo.intermediate.certificate.serial: ca}, **when)
    below = zoo.intermediate.crl(None if signer is None else {zoo.clinician.certificate.serial: signer}, **when)
    status = replace(zoo.status(), crls=(above, below))
    verdict = verify_bytes(files[level], zoo.context(at=at, status_sources=(status,)))
    assert verdict.sub_indication == ours
    assert peer(files[level], zoo, at, (above, below)) == theirs
