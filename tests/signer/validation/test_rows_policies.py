"""Row 23: the signature policy that a signer names, in every format (EN 319 102-1 §5.2.4)."""

import base64
import hashlib
import io
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pki import der
from pki.jose import compact_json
from signer.validation.policy import DEFAULT, Policy, parse_policy
from signer.validation.reasons import Reason
from signer.validation.report import verdict_json
from signer.validation.verdict import Care, Crypto, FileVerdict
from signer.validation.verify import verify_bytes
from tests.signer.validation.expect import FAILED, PASSED, UNDECIDED, expect, only, reasons
from tests.support.forge import CmsForge, JwsForge, attribute
from tests.support.zoo import Zoo

ATTRIBUTE = "1.2.840.113549.1.9.16.2.15"
NAME = "1.3.6.1.4.1.32473.364.5.1"
DOCUMENT = b"Prescriptions are signed by those who prescribe."
DIGEST = hashlib.sha256(DOCUMENT).digest()
SHA256 = der.sequence(der.oid("2.16.840.1.101.3.4.2.1"))

Named = bytes | None
"""The digest that a signature gives of the policy's document; None: the policy is implied."""


def cms_policy(digest: Named) -> bytes:
    if digest is None:
        return attribute(ATTRIBUTE, der.null())
    return attribute(ATTRIBUTE, der.sequence(der.oid(NAME), der.sequence(SHA256, der.octet_string(digest))))


def cades_file(zoo: Zoo, content: bytes, pdf: bytes, digest: Named) -> bytes:
    return CmsForge(content=content, holder=zoo.clinician, extra=(cms_policy(digest),)).build()


def pades_file(zoo: Zoo, content: bytes, pdf: bytes, digest: Named) -> bytes:
    found = re.search(rb"/ByteRange ?\[ ?0 (\d+) (\d+) (\d+) *\]", pdf)
    assert found is not None
    start, end, rest = map(int, found.groups())
    signed = pdf[:start] + pdf[end : end + rest]
    cms = CmsForge(content=signed, holder=zoo.clinician, extra=(cms_policy(digest),), detached=True).build()
    return pdf[: start + 1] + cms.hex().encode().ljust(end - start - 2, b"0") + pdf[end - 1 :]


def asic_file(zoo: Zoo, content: bytes, pdf: bytes, digest: Named) -> bytes:
    cms = CmsForge(content=content, holder=zoo.clinician, extra=(cms_policy(digest),), detached=True).build()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as container:
        container.writestr("mimetype", "application/vnd.etsi.asic-s+zip")
        container.writestr("rx.json", content)
        container.writestr("META-INF/signature.p7s", cms)
    return packed.getvalue()


def jades_file(zoo: Zoo, content: bytes, pdf: bytes, digest: Named) -> bytes:
    assert digest is not None  # JAdES has no implied policy
    value = base64.b64encode(digest).decode()
    policy = {"id": {"id": f"urn:oid:{NAME}"}, "digAlg": "S256", "digVal": value}
    header: dict[str, Any] = {"sigPId": policy, "crit": ["sigT", "sigPId"]}
    return JwsForge(payload=content, holder=zoo.clinician, header=header).flattened()


FORMATS: dict[str, Callable[[Zoo, bytes, bytes, Named], bytes]] = {
    "CAdES": cades_file,
    "PAdES": pades_file,
    "ASiC": asic_file,
    "JAdES": jades_file,
}


@pytest.fixture(params=FORMATS)
def form(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def accepting(*digests: bytes) -> Policy:
    return replace(DEFAULT, signature_policies=((NAME, frozenset(digests)),))


def judged(zoo: Zoo, data: bytes, policy: Policy) -> FileVerdict:
    return verify_bytes(data, zoo.context(policy=policy))


def test_a_policy_that_nobody_knows_here_is_not_available(zoo: Zoo, content: bytes, pades: bytes, form: str) -> None:
    data = FORMATS[form](zoo, content, pades, DIGEST)
    verdict = judged(zoo, data, DEFAULT)
    expect(verdict, UNDECIDED, "SIGNATURE_POLICY_NOT_AVAILABLE")
    assert (verdict.format, only(verdict).crypto, only(verdict).care) == (form, Crypto.INTACT, Care.INVALID)
    assert Reason.SIGNATURE_POLICY_UNKNOWN in reasons(verdict)


def test_a_policy_that_is_accepted_passes_with_its_own_document_alone(
    zoo: Zoo, content: bytes, pades: bytes, form: str
) -> None:
    data = FORMATS[form](zoo, content, pades, DIGEST)
    other = hashlib.sha256(DOCUMENT + b"!").digest()
    verdict = judged(zoo, data, accepting(other, DIGEST))
    expect(verdict, PASSED)
    assert verdict_json(verdict, "f")["signatures"][0]["signature_policy"] == {"id": NAME, "digest": DIGEST.hex()}
    expect(judged(zoo, data, accepting()), PASSED)
    verdict = judged(zoo, data, accepting(other))
    expect(verdict, UNDECIDED, "POLICY_PROCESSING_ERROR")
    assert Reason.SIGNATURE_POLICY_MISMATCH in reasons(verdict)


@pytest.mark.parametrize("name", ["CAdES", "PAdES", "ASiC"])
def test_a_policy_that_is_implied_is_the_one_at_hand(zoo: Zoo, content: bytes, pades: bytes, name: str) -> None:
    verdict = judged(zoo, FORMATS[name](zoo, content, pades, None), DEFAULT)
    expect(verdict, PASSED)
    assert Reason.SIGNATURE_POLICY_IMPLIED in reasons(verdict)
    assert verdict_json(verdict, "f")["signatures"][0]["signature_policy"] == {"id": None, "digest": None}


def test_the_policy_is_asked_before_the_path_and_after_the_signers_certificate(zoo: Zoo, content: bytes) -> None:
    data = cades_file(zoo, content, b"", DIGEST)
    expect(verify_bytes(data, zoo.context(anchors=())), UNDECIDED, "SIGNATURE_POLICY_NOT_AVAILABLE")
    unknown = CmsForge(content=content, holder=zoo.clinician, extra=(cms_policy(DIGEST),), certificates=()).build()
    expect(verify_bytes(unknown, zoo.context()), UNDECIDED, "NO_SIGNING_CERTIFICATE_FOUND")
    expect(verify_bytes(data.replace(b"1.50", b"9.50"), zoo.context()), FAILED, "HASH_FAILURE")


def test_a_policy_named_twice_or_that_cannot_be_read_is_a_format_failure(zoo: Zoo, content: bytes) -> None:
    twice = (cms_policy(DIGEST), cms_policy(b"\x00" * 32))
    for extra in (twice, (attribute(ATTRIBUTE, der.integer(1)),), (attribute(ATTRIBUTE, der.sequence()),)):
        data = CmsForge(content=content, holder=zoo.clinician, extra=extra).build()
        expect(judged(zoo, data, accepting()), FAILED, "FORMAT_FAILURE")
    wrong: tuple[Any, ...] = ("urn:oid:1.2", {"id": NAME}, {"id": {}}, {"id": {"id": NAME}, "digVal": "!"}, [])
    for value in wrong:
        forge = JwsForge(payload=content, holder=zoo.clinician, header={"sigPId": value})
        expect(judged(zoo, forge.flattened(), accepting()), FAILED, "FORMAT_FAILURE")


def test_a_policy_file_says_which_signature_policies_are_accepted(zoo: Zoo, content: bytes) -> None:
    policy = parse_policy(compact_json({"signature_policies": {NAME: [DIGEST.hex()]}}))
    expect(judged(zoo, cades_file(zoo, content, b"", DIGEST), policy), PASSED)
