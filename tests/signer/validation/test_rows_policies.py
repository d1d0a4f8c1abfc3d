"""Row 23: the signature policy that a signer names, beyond its table: implied, twice, before what else is wrong."""

import hashlib
from dataclasses import replace
from typing import Any

from pki import der
from pki.jose import compact_json
from signer.validation.policy import DEFAULT, Policy, parse_policy
from signer.validation.reasons import Reason
from signer.validation.report import verdict_json
from signer.validation.verdict import FileVerdict
from signer.validation.verify import verify_bytes
from tests.signer.validation.expect import FAILED, PASSED, UNDECIDED, expect, reasons
from tests.support.forge import CmsForge, JwsForge, attribute
from tests.support.zoo import Zoo

ATTRIBUTE = "1.2.840.113549.1.9.16.2.15"
NAME = "1.3.6.1.4.1.32473.364.5.1"
DOCUMENT = b"Prescriptions are signed by those who prescribe."
DIGEST = hashlib.sha256(DOCUMENT).digest()
SHA256 = der.sequence(der.oid("2.16.840.1.101.3.4.2.1"))


def cms_policy(digest: bytes | None) -> bytes:
    """Write signature-policy-identifier; implied without a digest."""
    if digest is None:
        return attribute(ATTRIBUTE, der.null())
    return attribute(ATTRIBUTE, der.sequence(der.oid(NAME), der.sequence(SHA256, der.octet_string(digest))))


def cades_file(zoo: Zoo, content: bytes, digest: bytes | None = DIGEST) -> bytes:
    return CmsForge(content=content, holder=zoo.clinician, extra=(cms_policy(digest),)).build()


def accepting(*digests: bytes) -> Policy:
    return replace(DEFAULT, signature_policies=((NAME, frozenset(digests)),))


def judged(zoo: Zoo, data: bytes, policy: Policy) -> FileVerdict:
    return verify_bytes(data, zoo.context(policy=policy))


def test_a_policy_that_is_accepted_without_digests_is_accepted_whatever_its_document(zoo: Zoo, content: bytes) -> None:
    verdict = judged(zoo, cades_file(zoo, content), accepting())
    expect(verdict, PASSED)
    assert verdict_json(verdict, "f")["signatures"][0]["signature_policy"] == {"id": NAME, "digest": DIGEST.hex()}
    expect(judged(zoo, cades_file(zoo, content), accepting(b"one", DIGEST)), PASSED)
    expect(judged(zoo, cades_file(zoo, content), accepting(b"one")), UNDECIDED, "POLICY_PROCESSING_ERROR")


def test_a_policy_that_is_implied_is_the_one_at_hand(zoo: Zoo, content: bytes) -> None:
    verdict = judged(zoo, cades_file(zoo, content, None), DEFAULT)
    expect(verdict, PASSED)
    assert Reason.SIGNATURE_POLICY_IMPLIED in reasons(verdict)
    assert verdict_json(verdict, "f")["signatures"][0]["signature_policy"] == {"id": None, "digest": None}


def test_the_policy_is_asked_before_the_path_and_after_the_signers_certificate(zoo: Zoo, content: bytes) -> None:
    data = cades_file(zoo, content)
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
    expect(judged(zoo, cades_file(zoo, content), policy), PASSED)
