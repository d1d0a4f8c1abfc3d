"""Rows 33 to 37: what a JWS header may not do. Every case is a FORMAT_FAILURE, whoever signed it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from pki.jose import b64url, compact_json, json_object
from signer.formats.jades import add_signature_timestamp, sign_jades
from signer.validation.reasons import Reason
from signer.validation.verdict import Crypto
from signer.validation.verify import verify_bytes
from tests.signer.validation.expect import FAILED, PASSED, expect, only, reasons
from tests.support.forge import JwsForge
from tests.support.zoo import SIGNED_AT, Zoo


def refused(zoo: Zoo, data: bytes) -> None:
    verdict = verify_bytes(data, zoo.context())
    expect(verdict, FAILED, "FORMAT_FAILURE")
    assert verdict.format == "JAdES"


# Row 33

FORBIDDEN_HEADERS: dict[str, dict[str, Any]] = {
    "alg-none": {"alg": "none"},
    "alg-none-in-capitals": {"alg": "NONE"},
    "hs256-with-the-public-key": {"alg": "HS256"},
    "alg-missing": {"alg": None},
    "alg-a-number": {"alg": 256},
    "jwk-in-header": {"jwk": {"kty": "EC"}},
    "jku-in-header": {"jku": "https://example.invalid/jwks"},
    "x5u-in-header": {"x5u": "https://example.invalid/chain.pem"},
    "etsiu-protected": {"etsiU": []},
}

# Row 34

CRIT: dict[str, Any] = {
    "crit-empty": [],
    "crit-a-string": "sigT",
    "crit-duplicate": ["sigT", "sigT"],
    "crit-of-wrong-type": ["sigT", 1],
    "crit-names-a-registered-header": ["sigT", "alg"],
    "crit-names-an-absent-header": ["sigT", "srCms"],
    "crit-unknown-name": ["sigT", "exp"],
    "crit-etsiu": ["sigT", "etsiU"],
    "crit-null": {},
}


@pytest.mark.parametrize("name", FORBIDDEN_HEADERS)
def test_a_forbidden_header_is_refused(zoo: Zoo, content: bytes, name: str) -> None:
    forge = JwsForge(payload=content, holder=zoo.clinician, header=FORBIDDEN_HEADERS[name])
    for data in (forge.compact(), forge.flattened()):
        refused(zoo, data)


@pytest.mark.parametrize("name", CRIT)
def test_a_crit_that_breaks_a_rule_is_refused(zoo: Zoo, content: bytes, name: str) -> None:
    header = {"crit": CRIT[name], "exp": 1} if name == "crit-unknown-name" else {"crit": CRIT[name]}
    refused(zoo, JwsForge(payload=content, holder=zoo.clinician, header=header).flattened())


@pytest.mark.parametrize("member", ["alg", "crit", "b64", "x5u"])
def test_a_member_that_must_be_protected_is_refused_outside(zoo: Zoo, content: bytes, member: str) -> None:
    header = {member: None} if member == "alg" else {}
    forge = JwsForge(payload=content, holder=zoo.clinician, header=header, unprotected={member: "ES256"})
    refused(zoo, forge.flattened())


def test_a_member_both_protected_and_not_is_refused(zoo: Zoo, content: bytes) -> None:
    forge = JwsForge(payload=content, holder=zoo.clinician, unprotected={"cty": "application/json"})
    refused(zoo, forge.flattened())


# Row 35


def test_b64_false_outside_crit_is_refused(zoo: Zoo, content: bytes) -> None:
    refused(zoo, JwsForge(payload=content, holder=zoo.clinician, header={"b64": False}, unencoded=True).flattened())


def test_b64_of_another_type_is_refused(zoo: Zoo, content: bytes) -> None:
    header = {"b64": "false", "crit": ["sigT", "b64"]}
    refused(zoo, JwsForge(payload=content, holder=zoo.clinician, header=header).flattened())


def test_b64_false_in_crit_signs_the_octets_as_they_stand(zoo: Zoo, content: bytes) -> None:
    header = {"b64": False, "crit": ["sigT", "b64"]}
    forge = JwsForge(payload=content, holder=zoo.clinician, header=header, unencoded=True)
    verdict = verify_bytes(forge.flattened(), zoo.context())
    expect(verdict, PASSED)
    assert only(verdict).covered[0].size == len(content)
    refused(zoo, forge.compact())  # the payload holds a full stop


def test_an_unencoded_token_read_as_encoded_fails(zoo: Zoo, content: bytes) -> None:
    forge = JwsForge(payload=content, holder=zoo.clinician, unencoded=True)
    assert verify_bytes(forge.flattened(), zoo.context()).indication is FAILED


# Row 36


def test_duplicate_members_are_refused(zoo: Zoo, content: bytes) -> None:
    forge = JwsForge(payload=content, holder=zoo.clinician)
    protected, payload, signature = forge.parts()
    refused(
        zoo,
        f'{{"payload":"{payload}","payload":"{payload}","protected":"{protected}","signature":"{signature}"}}'.encode(),
    )
    raw = b'{"alg":"ES256","alg":"ES256","sigT":"2026-11-22T09:00:00Z"}'
    refused(zoo, JwsForge(payload=content, holder=zoo.clinician, raw_header=raw).flattened())


def test_a_byte_order_mark_or_trailing_text_is_refused(zoo: Zoo, jades: bytes, content: bytes) -> None:
    compact = JwsForge(payload=content, holder=zoo.clinician).compact()
    for data in (b"\xef\xbb\xbf" + jades, jades + b"x", jades + b"{}", compact + b"x", compact + b"=", compact + b".x"):
        refused(zoo, data)


def test_a_line_break_after_a_compact_jws_is_noted(zoo: Zoo, content: bytes) -> None:
    compact = JwsForge(payload=content, holder=zoo.clinician).compact()
    for tail in (b"\n", b"\r\n"):
        verdict = verify_bytes(compact + tail, zoo.context())
        expect(verdict, PASSED)
        assert Reason.TRAILING_NEWLINE in reasons(verdict)
    refused(zoo, compact + b"\n\n")


def test_base64url_that_is_not_canonical_is_refused(zoo: Zoo, content: bytes) -> None:
    protected, payload, signature = JwsForge(payload=content, holder=zoo.clinician).parts()
    spare = signature[:-1] + chr(ord(signature[-1]) + 1)
    for parts in (
        (protected + "=", payload, signature),
        (protected, payload + "==", signature),
        (protected, payload, spare),
        (protected, payload, signature.replace("_", "/").replace("-", "+") + "+"),
    ):
        data = compact_json(dict(zip(("protected", "payload", "signature"), parts, strict=True)))
        refused(zoo, data)
        refused(zoo, ".".join(parts).encode())


def test_flattened_and_general_at_once_is_refused(zoo: Zoo, content: bytes) -> None:
    document = json_object(JwsForge(payload=content, holder=zoo.clinician).flattened())
    entry = {"protected": document["protected"], "signature": document["signature"]}
    expect(verify_bytes(compact_json({"payload": document["payload"], "signatures": [entry]}), zoo.context()), PASSED)
    refused(zoo, compact_json(document | {"signatures": [entry]}))
    wrong: tuple[Any, ...] = ([], {}, [1], [entry] * 51)
    for signatures in wrong:
        refused(zoo, compact_json({"payload": document["payload"], "signatures": signatures}))


def test_one_bad_header_among_several_signatures_fails_alone(zoo: Zoo, content: bytes) -> None:
    good = json_object(JwsForge(payload=content, holder=zoo.clinician).flattened())
    bad = json_object(JwsForge(payload=content, holder=zoo.clinician, header={"alg": "none"}).flattened())
    entries = [{"protected": d["protected"], "signature": d["signature"]} for d in (good, bad)]
    verdict = verify_bytes(compact_json({"payload": good["payload"], "signatures": entries}), zoo.context())
    expect(verdict, FAILED, "FORMAT_FAILURE")
    assert [signature.indication for signature in verdict.signatures] == [PASSED, FAILED]


# Row 37

ETSI_U: dict[str, Any] = {
    "etsiu-an-object": {},
    "etsiu-empty": [],
    "etsiu-mixed": [b64url(b'{"x":1}'), {"y": 1}],
    "etsiu-of-numbers": [1],
    "etsiu-not-base64url": ["=="],
    "etsiu-two-members": [b64url(b'{"x":1,"y":2}')],
    "etsiu-tokens-no-array": [{"sigTst": {"tstTokens": {}}}],
    "etsiu-token-no-base64": [{"sigTst": {"tstTokens": [{"val": "!"}]}}],
    "etsiu-values-of-wrong-type": [{"rVals": []}],
}


@pytest.mark.parametrize("name", ETSI_U)
def test_a_broken_etsiu_is_refused(zoo: Zoo, content: bytes, name: str) -> None:
    refused(zoo, JwsForge(payload=content, holder=zoo.clinician, unprotected={"etsiU": ETSI_U[name]}).flattened())


def test_an_unknown_component_of_etsiu_is_left_alone(zoo: Zoo, content: bytes) -> None:
    forge = JwsForge(payload=content, holder=zoo.clinician, unprotected={"etsiU": [{"somethingNew": {"a": 1}}]})
    expect(verify_bytes(forge.flattened(), zoo.context()), PASSED)


# Times


def test_iat_and_sigt_are_both_read(zoo: Zoo, content: bytes) -> None:
    moment = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
    seconds = int(moment.timestamp())
    for header in (
        {"iat": seconds, "sigT": None, "crit": None},
        {"iat": None, "sigT": "2026-11-20T08:00:00Z"},
        {"iat": seconds, "sigT": "2026-11-20T08:00:00Z"},
        {"iat": seconds * 1000, "sigT": "2026-11-20T08:00:00Z"},
    ):
        verdict = verify_bytes(
            JwsForge(payload=content, holder=zoo.clinician, header=header).flattened(), zoo.context()
        )
        expect(verdict, PASSED)
        assert only(verdict).claimed_at == moment


def test_times_of_another_form_are_refused(zoo: Zoo, content: bytes) -> None:
    wrong: tuple[dict[str, Any], ...] = (
        {"iat": True},
        {"iat": "1"},
        {"sigT": "2026-11-22"},
        {"sigT": "2026-13-22T09:00:00Z"},
        {"sigT": 1},
    )
    for header in wrong:
        refused(zoo, JwsForge(payload=content, holder=zoo.clinician, header=header).flattened())


def test_two_different_claimed_times_are_noted(zoo: Zoo, content: bytes) -> None:
    header = {"iat": int(SIGNED_AT.timestamp())}
    verdict = verify_bytes(JwsForge(payload=content, holder=zoo.clinician, header=header).flattened(), zoo.context())
    expect(verdict, PASSED)
    assert Reason.TWO_CLAIMED_TIMES in reasons(verdict)


def test_an_algorithm_nobody_knows_leaves_the_crypto_unknown(zoo: Zoo, content: bytes) -> None:
    forged = JwsForge(payload=content, holder=zoo.clinician, header={"alg": "FN-DSA-512"}).flattened()
    verdict = verify_bytes(forged, zoo.context())
    assert (verdict.indication, verdict.sub_indication) == ("INDETERMINATE", "CRYPTO_CONSTRAINTS_FAILURE")
    assert only(verdict).crypto is Crypto.UNKNOWN


def test_an_algorithm_of_another_curve_or_key_is_a_crypto_failure(zoo: Zoo, content: bytes) -> None:
    for name in ("ES384", "RS256", "PS256", "EdDSA", "Ed448", "ML-DSA-44"):
        forged = JwsForge(payload=content, holder=zoo.clinician, header={"alg": name}).flattened()
        expect(verify_bytes(forged, zoo.context()), FAILED, "SIG_CRYPTO_FAILURE")


def test_a_payload_of_pretty_json_is_covered_octet_for_octet(zoo: Zoo) -> None:
    payload = json.dumps({"dose": 1.5, "نام": "نمونه"}, indent=2, ensure_ascii=False).encode()
    data = add_signature_timestamp(
        sign_jades(payload, zoo.clinician.key, zoo.clinician.chain, signed_at=SIGNED_AT), zoo.stamper(SIGNED_AT)
    )
    covered = only(verify_bytes(data, zoo.context())).covered
    assert [(item.what, item.size) for item in covered] == [("payload", len(payload))]
