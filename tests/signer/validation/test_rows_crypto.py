"""Rows 1 to 6, 22, 42 and 43 of the table of negative cases: content, value, container, signing certificate."""

import hashlib
from collections.abc import Callable

import pytest

from pki import der, oids
from pki.jose import b64url, compact_json, json_object, unb64url
from signer.validation.reasons import Reason
from signer.validation.verdict import Care, Crypto
from signer.validation.verify import verify_bytes
from tests.signer.validation.expect import FAILED, PASSED, UNDECIDED, expect, only, reasons
from tests.support.forge import CmsForge, JwsForge, attribute, flip, signing_certificate_v2
from tests.support.zoo import Zoo, make_clinician

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def test_the_good_files_pass(zoo: Zoo, cades: bytes, jades: bytes, pades: bytes) -> None:
    for data, form in ((cades, "CAdES"), (jades, "JAdES"), (pades, "PAdES")):
        verdict = verify_bytes(data, zoo.context())
        expect(verdict, PASSED)
        assert verdict.format == form
        assert (only(verdict).level, only(verdict).crypto, only(verdict).care) == ("B-B", Crypto.INTACT, Care.VALID)


# Row 1


def test_a_flipped_content_bit_of_cades_is_a_hash_failure(zoo: Zoo, cades: bytes, content: bytes) -> None:
    verdict = verify_bytes(cades.replace(content, flip(content, 20)), zoo.context())
    expect(verdict, FAILED, "HASH_FAILURE")
    assert (only(verdict).crypto, only(verdict).care) == (Crypto.BROKEN, Care.INVALID)


def test_a_flipped_payload_bit_of_a_jws_is_a_crypto_failure(zoo: Zoo, jades: bytes) -> None:
    document = json_object(jades)
    document["payload"] = b64url(flip(unb64url(document["payload"]), 20))
    verdict = verify_bytes(compact_json(document), zoo.context())
    expect(verdict, FAILED, "SIG_CRYPTO_FAILURE")
    assert only(verdict).crypto is Crypto.BROKEN


def test_a_changed_letter_of_a_signed_pdf_is_a_hash_failure(zoo: Zoo, pades: bytes) -> None:
    text_at = pades.index(b" Tj") - 3
    verdict = verify_bytes(flip(pades, text_at), zoo.context())
    expect(verdict, FAILED, "HASH_FAILURE")
    assert only(verdict).crypto is Crypto.BROKEN


# Row 2

SPOILERS: dict[str, Callable[[bytes], bytes]] = {
    "flipped": lambda value: flip(value, -1),
    "r-is-zero": lambda value: der.sequence(der.integer(0), der.parse(value).sequence()[1].raw),
    "s-is-zero": lambda value: der.sequence(der.parse(value).sequence()[0].raw, der.integer(0)),
    "r-beyond-order": lambda value: der.sequence(
        der.integer(der.parse(value).sequence()[0].integer() + ORDER), der.parse(value).sequence()[1].raw
    ),
    "p1363-in-cms": lambda value: b"".join(n.integer().to_bytes(32, "big") for n in der.parse(value).sequence()),
    "empty": lambda _value: b"",
}


@pytest.mark.parametrize("name", SPOILERS)
def test_a_spoilt_signature_value_in_cms_is_a_crypto_failure(zoo: Zoo, content: bytes, name: str) -> None:
    forged = CmsForge(content=content, holder=zoo.clinician, spoil=SPOILERS[name]).build()
    expect(verify_bytes(forged, zoo.context()), FAILED, "SIG_CRYPTO_FAILURE")


JWS_SPOILERS: dict[str, Callable[[bytes], bytes]] = {
    "flipped": lambda value: flip(value, 40),
    "r-is-zero": lambda value: bytes(32) + value[32:],
    "der-in-jws": lambda value: der.sequence(
        der.integer(int.from_bytes(value[:32], "big")), der.integer(int.from_bytes(value[32:], "big"))
    ),
    "too-short": lambda value: value[:63],
    "empty": lambda _value: b"",
}


@pytest.mark.parametrize("name", JWS_SPOILERS)
def test_a_spoilt_signature_value_in_a_jws_is_a_crypto_failure(zoo: Zoo, content: bytes, name: str) -> None:
    forged = JwsForge(payload=content, holder=zoo.clinician, spoil=JWS_SPOILERS[name]).flattened()
    expect(verify_bytes(forged, zoo.context()), FAILED, "SIG_CRYPTO_FAILURE")


def test_a_malleated_copy_still_verifies(zoo: Zoo, content: bytes) -> None:
    """Row 42: (r, n-s) is as valid as (r, s); the register tells copies apart by document and signer."""

    def other_s(value: bytes) -> bytes:
        r, s = (node.integer() for node in der.parse(value).sequence())
        return der.sequence(der.integer(r), der.integer(ORDER - s))

    expect(verify_bytes(CmsForge(content=content, holder=zoo.clinician, spoil=other_s).build(), zoo.context()), PASSED)


# Row 3


def test_truncated_files_are_format_failures(zoo: Zoo, cades: bytes, jades: bytes, pades: bytes) -> None:
    for data in (cades, jades, pades):
        for cut in (len(data) - 1, len(data) - 200):
            expect(verify_bytes(data[:cut], zoo.context()), FAILED, "FORMAT_FAILURE")


def test_octets_after_cms_are_a_format_failure(zoo: Zoo, cades: bytes) -> None:
    for tail in (b"\0", b"\n", cades):
        expect(verify_bytes(cades + tail, zoo.context()), FAILED, "FORMAT_FAILURE")


def test_two_signed_data_in_one_content_info_are_a_format_failure(zoo: Zoo, content: bytes) -> None:
    inner = CmsForge(content=content, holder=zoo.clinician).signed_data()
    doubled = der.sequence(der.oid(oids.CMS_SIGNED_DATA), der.context(0, inner, inner))
    expect(verify_bytes(doubled, zoo.context()), FAILED, "FORMAT_FAILURE")


# Row 4


def _indefinite(data: bytes) -> bytes:
    """Turn the outer SEQUENCE and its [0] into indefinite lengths."""
    kind, explicit = der.parse(data).sequence()
    return b"\x30\x80" + kind.raw + b"\xa0\x80" + explicit.inner().raw + bytes(4)


def _long_length(data: bytes) -> bytes:
    """Write the outer length in one octet more than needed."""
    body = der.parse(data).content
    return b"\x30\x84" + len(body).to_bytes(4, "big") + body


@pytest.mark.parametrize("spell", [_indefinite, _long_length])
def test_ber_lengths_leave_the_verdict_alone(zoo: Zoo, cades: bytes, spell: Callable[[bytes], bytes]) -> None:
    verdict = verify_bytes(spell(cades), zoo.context())
    expect(verdict, PASSED)
    assert Reason.BER_ENCODING in reasons(verdict)


def test_unsorted_signed_attributes_leave_the_verdict_alone(zoo: Zoo, content: bytes) -> None:
    forged = CmsForge(content=content, holder=zoo.clinician, arrange=lambda a: sorted(a, reverse=True)).build()
    verdict = verify_bytes(forged, zoo.context())
    expect(verdict, PASSED)
    assert Reason.SET_UNSORTED in reasons(verdict)


def test_a_signature_over_attributes_in_the_order_sent_passes_too(zoo: Zoo, content: bytes) -> None:
    forge = CmsForge(content=content, holder=zoo.clinician)
    backwards = sorted(forge.attributes(), reverse=True)
    value = zoo.clinician.key.sign(der.tlv(der.SET, *backwards))
    forge.arrange, forge.spoil = (lambda _a: backwards), (lambda _v: value)
    verdict = verify_bytes(forge.build(), zoo.context())
    expect(verdict, PASSED)
    assert Reason.SET_UNSORTED in reasons(verdict)


def test_a_non_minimal_serial_number_leaves_the_verdict_alone(zoo: Zoo, content: bytes) -> None:
    forged = CmsForge(content=content, holder=zoo.clinician).build()
    serial = der.integer(zoo.clinician.certificate.serial)
    at = forged.rindex(serial)
    padded = der.tlv(der.INTEGER, b"\0" + serial[2:])
    grown = forged[:at] + padded + forged[at + len(serial) :]
    assert verify_bytes(grown, zoo.context()).sub_indication == "FORMAT_FAILURE"  # lengths around it no longer fit
    forge = CmsForge(content=content, holder=zoo.clinician)
    info = der.parse(forge.signer_info())
    version, sid, *rest = info.sequence()
    name = sid.sequence()[0].raw
    respelt = der.sequence(version.raw, der.sequence(name, padded), *(node.raw for node in rest))
    data = der.parse(forge.signed_data()).sequence()
    whole = der.sequence(*(node.raw for node in data[:-1]), der.tlv(der.SET, respelt))
    expect(verify_bytes(der.sequence(der.oid(oids.CMS_SIGNED_DATA), der.context(0, whole)), zoo.context()), PASSED)


@pytest.mark.parametrize("kind", [oids.ATTR_CONTENT_TYPE, oids.ATTR_MESSAGE_DIGEST, oids.ATTR_SIGNING_CERTIFICATE_V2])
def test_a_duplicated_signed_attribute_is_a_format_failure(zoo: Zoo, content: bytes, kind: str) -> None:
    values = {
        oids.ATTR_CONTENT_TYPE: attribute(kind, der.oid(oids.CMS_DATA)),
        oids.ATTR_MESSAGE_DIGEST: attribute(kind, der.octet_string(hashlib.sha256(b"other").digest())),
        oids.ATTR_SIGNING_CERTIFICATE_V2: signing_certificate_v2(zoo.clinician.certificate),
    }
    forged = CmsForge(content=content, holder=zoo.clinician, extra=(values[kind],)).build()
    verdict = verify_bytes(forged, zoo.context())
    expect(verdict, FAILED, "FORMAT_FAILURE")
    assert Reason.ATTRIBUTE_DUPLICATED in reasons(verdict)


def test_a_second_value_in_message_digest_is_a_format_failure(zoo: Zoo, content: bytes) -> None:
    two = attribute(
        oids.ATTR_MESSAGE_DIGEST,
        der.octet_string(hashlib.sha256(content).digest()),
        der.octet_string(hashlib.sha256(b"other").digest()),
    )
    forged = CmsForge(content=content, holder=zoo.clinician, without=(oids.ATTR_MESSAGE_DIGEST,), extra=(two,)).build()
    expect(verify_bytes(forged, zoo.context()), FAILED, "FORMAT_FAILURE")


@pytest.mark.parametrize("kind", [oids.ATTR_CONTENT_TYPE, oids.ATTR_MESSAGE_DIGEST])
def test_a_missing_mandatory_attribute_is_a_format_failure(zoo: Zoo, content: bytes, kind: str) -> None:
    forged = CmsForge(content=content, holder=zoo.clinician, without=(kind,)).build()
    expect(verify_bytes(forged, zoo.context()), FAILED, "FORMAT_FAILURE")


def test_a_claimed_content_type_that_differs_is_a_format_failure(zoo: Zoo, content: bytes) -> None:
    forged = CmsForge(content=content, holder=zoo.clinician, claimed_type=oids.TST_INFO).build()
    expect(verify_bytes(forged, zoo.context()), FAILED, "FORMAT_FAILURE")


def test_a_signing_time_outside_the_signature_is_a_format_failure(zoo: Zoo, content: bytes) -> None:
    loose = attribute(oids.ATTR_SIGNING_TIME, der.time(zoo.context().at))
    forged = CmsForge(content=content, holder=zoo.clinician, unsigned=(loose,)).build()
    verdict = verify_bytes(forged, zoo.context())
    expect(verdict, FAILED, "FORMAT_FAILURE")
    assert Reason.ATTRIBUTE_MISPLACED in reasons(verdict)


# Row 5


def test_without_a_signing_certificate_reference_the_signature_is_not_bound(zoo: Zoo, content: bytes) -> None:
    forged = CmsForge(content=content, holder=zoo.clinician, without=(oids.ATTR_SIGNING_CERTIFICATE_V2,)).build()
    verdict = verify_bytes(forged, zoo.context())
    expect(verdict, UNDECIDED, "SIG_CONSTRAINTS_FAILURE")
    assert verdict.format == "CMS"
    assert (only(verdict).crypto, only(verdict).level) == (Crypto.INTACT, None)


def test_a_reference_to_another_certificate_breaks_the_binding(zoo: Zoo, content: bytes) -> None:
    forged = CmsForge(content=content, holder=zoo.clinician, reference=zoo.tsa.certificate).build()
    verdict = verify_bytes(forged, zoo.context())
    expect(verdict, UNDECIDED, "SIG_CONSTRAINTS_FAILURE")
    assert only(verdict).crypto is Crypto.INTACT


def test_a_reference_by_md5_binds_nobody(zoo: Zoo, content: bytes) -> None:
    digest = hashlib.md5(zoo.clinician.certificate.der, usedforsecurity=False).digest()
    reference = der.sequence(der.sequence(der.oid(oids.MD5)), der.octet_string(digest))
    named = attribute(oids.ATTR_SIGNING_CERTIFICATE_V2, der.sequence(der.sequence(reference)))
    without = (oids.ATTR_SIGNING_CERTIFICATE_V2,)
    forged = CmsForge(content=content, holder=zoo.clinician, without=without, extra=(named,)).build()
    expect(verify_bytes(forged, zoo.context()), UNDECIDED, "SIG_CONSTRAINTS_FAILURE")


@pytest.mark.parametrize("name", ["x5t#S256", "x5t"])
def test_a_jws_thumbprint_of_another_certificate_breaks_the_binding(zoo: Zoo, content: bytes, name: str) -> None:
    hashed = hashlib.sha1 if name == "x5t" else hashlib.sha256
    for certificate, is_bound in ((zoo.tsa.certificate, False), (zoo.clinician.certificate, True)):
        header = {name: b64url(hashed(certificate.der).digest())}
        forged = JwsForge(payload=content, holder=zoo.clinician, header=header).flattened()
        verdict = verify_bytes(forged, zoo.context())
        expect(verdict, *((PASSED,) if is_bound else (UNDECIDED, "SIG_CONSTRAINTS_FAILURE")))


def test_a_signer_whose_certificate_is_nowhere_is_not_found(zoo: Zoo, content: bytes) -> None:
    forged = CmsForge(content=content, holder=zoo.clinician, certificates=()).build()
    verdict = verify_bytes(forged, zoo.context())
    expect(verdict, UNDECIDED, "NO_SIGNING_CERTIFICATE_FOUND")
    assert only(verdict).crypto is Crypto.UNKNOWN


def test_a_missing_certificate_is_taken_from_the_context(zoo: Zoo, content: bytes) -> None:
    forged = CmsForge(content=content, holder=zoo.clinician, certificates=()).build()
    known = zoo.context(intermediates=(zoo.intermediate.certificate, zoo.clinician.certificate))
    expect(verify_bytes(forged, known), PASSED)


def test_a_jws_with_a_thumbprint_alone_is_resolved_against_the_anchors(zoo: Zoo, content: bytes) -> None:
    forged = JwsForge(payload=content, holder=zoo.clinician, header={"x5c": None}).compact()
    expect(verify_bytes(forged, zoo.context()), UNDECIDED, "NO_SIGNING_CERTIFICATE_FOUND")
    pinned = zoo.context(anchors=(zoo.root.certificate, zoo.clinician.certificate))
    expect(verify_bytes(forged, pinned), PASSED)


def test_a_decoy_certificate_of_the_same_issuer_and_serial_changes_nothing(zoo: Zoo, content: bytes) -> None:
    decoy = make_clinician(zoo.intermediate, serial=zoo.clinician.certificate.serial)
    certificates = (decoy.certificate, zoo.clinician.certificate)
    forged = CmsForge(content=content, holder=zoo.clinician, certificates=certificates).build()
    verdict = verify_bytes(forged, zoo.context())
    expect(verdict, PASSED)
    signer = only(verdict).signer
    assert signer is not None
    assert signer.certificate == zoo.clinician.certificate


def test_a_signer_named_by_key_identifier_is_found(zoo: Zoo, content: bytes) -> None:
    forge = CmsForge(content=content, holder=zoo.clinician)
    version, _sid, *rest = (node.raw for node in der.parse(forge.signer_info()).sequence())
    identifier = der.context(0, zoo.clinician.certificate.subject_key_identifier or b"", constructed=False)
    parts = [node.raw for node in der.parse(forge.signed_data()).sequence()]
    data = der.sequence(*parts[:-1], der.tlv(der.SET, der.sequence(version, identifier, *rest)))
    expect(verify_bytes(der.sequence(der.oid(oids.CMS_SIGNED_DATA), der.context(0, data)), zoo.context()), PASSED)


def test_more_time_stamps_than_any_signature_needs_are_refused(zoo: Zoo, content: bytes) -> None:
    stamps = attribute(oids.ATTR_SIGNATURE_TIMESTAMP, *(der.sequence(der.integer(n)) for n in range(33)))
    forged = CmsForge(content=content, holder=zoo.clinician, unsigned=(stamps,)).build()
    expect(verify_bytes(forged, zoo.context()), FAILED, "FORMAT_FAILURE")


# Row 6


def test_algorithm_protection_that_names_another_hash_is_a_format_failure(zoo: Zoo, content: bytes) -> None:
    for digest, signature, sub in (
        (oids.SHA256, oids.ECDSA_WITH_SHA256, None),
        (oids.SHA384, oids.ECDSA_WITH_SHA256, "FORMAT_FAILURE"),
        (oids.SHA256, oids.ECDSA_WITH_SHA384, "FORMAT_FAILURE"),
    ):
        protection = attribute(
            oids.ATTR_ALGORITHM_PROTECTION,
            der.sequence(der.sequence(der.oid(digest)), der.context(1, der.oid(signature))),
        )
        forged = CmsForge(content=content, holder=zoo.clinician, extra=(protection,)).build()
        expect(verify_bytes(forged, zoo.context()), FAILED if sub else PASSED, sub)


# Row 22


def test_detached_content_that_is_absent_leaves_the_signature_undecided(zoo: Zoo, content: bytes) -> None:
    forged = CmsForge(content=content, holder=zoo.clinician, detached=True).build()
    verdict = verify_bytes(forged, zoo.context())
    expect(verdict, UNDECIDED, "SIGNED_DATA_NOT_FOUND")
    assert only(verdict).crypto is Crypto.UNKNOWN
    expect(verify_bytes(forged, zoo.context(content=content)), PASSED)
    expect(verify_bytes(forged, zoo.context(content=content + b" ")), FAILED, "HASH_FAILURE")


def test_a_detached_jws_needs_its_content(zoo: Zoo, content: bytes) -> None:
    protected, _payload, signature = JwsForge(payload=content, holder=zoo.clinician).parts()
    detached = f"{protected}..{signature}".encode()
    expect(verify_bytes(detached, zoo.context()), UNDECIDED, "SIGNED_DATA_NOT_FOUND")
    expect(verify_bytes(detached, zoo.context(content=content)), PASSED)
    expect(verify_bytes(detached, zoo.context(content=content + b" ")), FAILED, "SIG_CRYPTO_FAILURE")


@pytest.mark.parametrize("of_text", [False, True])
def test_a_jws_over_a_digest_compares_the_content_given(zoo: Zoo, content: bytes, *, of_text: bool) -> None:
    digest = hashlib.sha256(b64url(content).encode() if of_text else content).digest()
    header = {
        "sigD": {
            "mId": "http://uri.etsi.org/19182/ObjectIdByURIHash",
            "pars": ["urn:x"],
            "hashM": "S256",
            "hashV": [b64url(digest)],
        },
        "crit": ["sigT", "sigD"],
    }
    forge = JwsForge(payload=b"", holder=zoo.clinician, header=header)
    data = forge.flattened(payload="")
    expect(verify_bytes(data, zoo.context()), UNDECIDED, "SIGNED_DATA_NOT_FOUND")
    expect(verify_bytes(data, zoo.context(content=content)), PASSED)
    expect(verify_bytes(data, zoo.context(content=b"other")), FAILED, "HASH_FAILURE")


def test_content_that_differs_from_the_embedded_one_fails(zoo: Zoo, cades: bytes, jades: bytes, content: bytes) -> None:
    for data in (cades, jades):
        expect(verify_bytes(data, zoo.context(content=content)), PASSED)
        expect(verify_bytes(data, zoo.context(content=b"other")), FAILED, "HASH_FAILURE")


# Row 43


def test_a_certificate_of_the_same_key_and_name_is_no_substitute(zoo: Zoo, content: bytes) -> None:
    twin = make_clinician(zoo.intermediate, key=zoo.clinician.key)
    forge = CmsForge(content=content, holder=zoo.clinician, certificates=(twin.certificate,))
    verdict = verify_bytes(forge.build(), zoo.context())
    expect(verdict, UNDECIDED, "SIG_CONSTRAINTS_FAILURE")
    assert only(verdict).crypto is Crypto.INTACT
    forge.serial = twin.certificate.serial
    expect(verify_bytes(forge.build(), zoo.context()), UNDECIDED, "SIG_CONSTRAINTS_FAILURE")


def test_every_signer_of_a_cms_is_judged(zoo: Zoo, content: bytes) -> None:
    verdict = verify_bytes(CmsForge(content=content, holder=zoo.clinician, signers=2).build(), zoo.context())
    expect(verdict, PASSED)
    assert len(verdict.signatures) == 2


def test_more_than_fifty_signers_are_a_format_failure(zoo: Zoo, content: bytes) -> None:
    forged = CmsForge(content=content, holder=zoo.clinician, signers=51).build()
    expect(verify_bytes(forged, zoo.context()), FAILED, "FORMAT_FAILURE")


def test_a_certs_only_cms_is_not_signed(zoo: Zoo, content: bytes) -> None:
    verdict = verify_bytes(CmsForge(content=content, holder=zoo.clinician, signers=0).build(), zoo.context())
    expect(verdict, UNDECIDED)
    assert verdict.signatures == ()
    assert [finding.reason for finding in verdict.findings] == [Reason.NOTHING_SIGNED]
