"""How other programs write CMS: algorithms, spellings and companions, each with the verdict that it deserves."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from pki import der, oids
from pki.certificates import Certificate
from signer.validation.reasons import Reason
from signer.validation.verdict import Crypto
from signer.validation.verify import verify_bytes
from tests.signer.validation.expect import FAILED, PASSED, UNDECIDED, expect, only, reasons
from tests.support.forge import CmsForge, Held, attribute, signing_certificate_v2
from tests.support.ocsp_forge import ocsp_answer
from tests.support.zoo import Zoo, make_clinician

NO_POE: Final = "CRYPTO_CONSTRAINTS_FAILURE_NO_POE"
ESS_V1: Final = oids.ATTR_SIGNING_CERTIFICATE
WITHOUT_REFERENCE: Final = (oids.ATTR_SIGNING_CERTIFICATE_V2,)


@dataclass(frozen=True)
class AnyKey:
    """A private key with the way in which it signs."""

    private: Any
    make: Callable[[bytes], bytes]

    def public_key(self) -> Any:
        return self.private.public_key()

    def sign(self, message: bytes) -> bytes:
        return self.make(message)


@dataclass(frozen=True)
class AnyHolder:
    certificate: Certificate
    key: AnyKey


def named(*oid_and_parameters: bytes | str) -> bytes:
    """Encode an AlgorithmIdentifier."""
    return der.sequence(*(der.oid(part) if isinstance(part, str) else part for part in oid_and_parameters))


@pytest.fixture(scope="module")
def rsa_private() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 3072)


def _pss(hashed: str | None, mask: str | None, salt: int | None, trailer: int | None = None) -> bytes:
    parts = [
        b"" if hashed is None else der.context(0, named(hashed, der.null())),
        b"" if mask is None else der.context(1, named(oids.MGF1, named(mask))),
        b"" if salt is None else der.context(2, der.integer(salt)),
        b"" if trailer is None else der.context(3, der.integer(trailer)),
    ]
    return named(oids.RSASSA_PSS, der.sequence(*parts))


SHA1, SHA256, SHA384, SHA512 = hashes.SHA1(), hashes.SHA256(), hashes.SHA384(), hashes.SHA512()  # noqa: S303
RSA_KINDS: dict[str, tuple[bytes, Any, Any, str | None]] = {
    "named-by-the-key-alone": (named(oids.RSA_ENCRYPTION, der.null()), padding.PKCS1v15(), SHA256, None),
    "without-parameters": (named(oids.RSA_ENCRYPTION), padding.PKCS1v15(), SHA256, None),
    "sha256": (named(oids.SHA256_WITH_RSA, der.null()), padding.PKCS1v15(), SHA256, None),
    "sha3-256": (named("2.16.840.1.101.3.4.3.14", der.null()), padding.PKCS1v15(), hashes.SHA3_256(), None),
    "sha512-256": (named("1.2.840.113549.1.1.16", der.null()), padding.PKCS1v15(), hashes.SHA512_256(), None),
    "sha1-of-old": (named("1.3.14.3.2.29"), padding.PKCS1v15(), SHA1, NO_POE),
    "pss": (_pss(oids.SHA256, oids.SHA256, 32), padding.PSS(padding.MGF1(SHA256), 32), SHA256, None),
    "pss-without-salt": (_pss(oids.SHA256, oids.SHA256, 0), padding.PSS(padding.MGF1(SHA256), 0), SHA256, None),
    "pss-salt-of-20": (_pss(oids.SHA256, oids.SHA256, None), padding.PSS(padding.MGF1(SHA256), 20), SHA256, None),
    "pss-widest-salt": (_pss(oids.SHA256, oids.SHA256, 350), padding.PSS(padding.MGF1(SHA256), 350), SHA256, None),
    "pss-of-two-hashes": (_pss(oids.SHA256, oids.SHA1, 32), padding.PSS(padding.MGF1(SHA1), 32), SHA256, None),
    "pss-mask-by-default": (_pss(oids.SHA512, None, 64), padding.PSS(padding.MGF1(SHA1), 64), SHA512, None),
    "pss-trailer-written": (_pss(oids.SHA256, oids.SHA256, 32, 1), padding.PSS(padding.MGF1(SHA256), 32), SHA256, None),
    "pss-by-default": (named(oids.RSASSA_PSS, der.sequence()), padding.PSS(padding.MGF1(SHA1), 20), SHA1, NO_POE),
}


@pytest.mark.parametrize("name", RSA_KINDS)
def test_rsa_in_all_its_spellings_is_checked(
    zoo: Zoo, content: bytes, rsa_private: rsa.RSAPrivateKey, name: str
) -> None:
    algorithm, pad, hashed, weak = RSA_KINDS[name]
    key = AnyKey(rsa_private, lambda message: rsa_private.sign(message, pad, hashed))
    holder = AnyHolder(make_clinician(zoo.intermediate, key=key).certificate, key)
    forged = CmsForge(content=content, holder=holder, algorithm=algorithm).build()
    verdict = verify_bytes(forged, zoo.context())
    expect(verdict, UNDECIDED if weak else PASSED, weak)
    assert only(verdict).crypto is Crypto.INTACT


def test_pss_of_a_trailer_or_mask_that_nobody_defined_is_not_guessed(
    zoo: Zoo, content: bytes, rsa_private: rsa.RSAPrivateKey
) -> None:
    key = AnyKey(rsa_private, lambda m: rsa_private.sign(m, padding.PSS(padding.MGF1(SHA256), 32), SHA256))
    holder = AnyHolder(make_clinician(zoo.intermediate, key=key).certificate, key)
    mask = der.context(1, named("1.3.6.1.4.1.32473.9.2", named(oids.SHA256)))
    for algorithm in (_pss(oids.SHA256, oids.SHA256, 32, 2), named(oids.RSASSA_PSS, der.sequence(mask))):
        verdict = verify_bytes(CmsForge(content=content, holder=holder, algorithm=algorithm).build(), zoo.context())
        expect(verdict, UNDECIDED, "CRYPTO_CONSTRAINTS_FAILURE")
        assert only(verdict).crypto is Crypto.UNKNOWN


def _ecdsa(curve: ec.EllipticCurve, hashed: hashes.HashAlgorithm) -> AnyKey:
    private = ec.generate_private_key(curve)
    return AnyKey(private, lambda message: private.sign(message, ec.ECDSA(hashed)))


def _plain(curve: ec.EllipticCurve, size: int) -> AnyKey:
    private = ec.generate_private_key(curve)

    def make(message: bytes) -> bytes:
        r, s = decode_dss_signature(private.sign(message, ec.ECDSA(SHA256)))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")

    return AnyKey(private, make)


def _bare(private: Any) -> AnyKey:
    return AnyKey(private, private.sign)


ECDSA_SHA3: Final = "2.16.840.1.101.3.4.3.10"
KEYS: dict[str, tuple[Callable[[], AnyKey], str, str]] = {
    "p384": (lambda: _ecdsa(ec.SECP384R1(), SHA384), oids.ECDSA_WITH_SHA384, oids.SHA384),
    "p521": (lambda: _ecdsa(ec.SECP521R1(), SHA512), oids.ECDSA_WITH_SHA512, oids.SHA512),
    "p256-sha3": (lambda: _ecdsa(ec.SECP256R1(), hashes.SHA3_256()), ECDSA_SHA3, oids.SHA3_256),
    "p256-named-by-the-key": (lambda: _ecdsa(ec.SECP256R1(), SHA256), oids.EC_PUBLIC_KEY, oids.SHA256),
    "brainpool256": (lambda: _ecdsa(ec.BrainpoolP256R1(), SHA256), oids.ECDSA_WITH_SHA256, oids.SHA256),
    "brainpool512": (lambda: _ecdsa(ec.BrainpoolP512R1(), SHA512), oids.ECDSA_WITH_SHA512, oids.SHA512),
    "plain-brainpool256": (lambda: _plain(ec.BrainpoolP256R1(), 32), "0.4.0.127.0.7.1.1.4.1.3", oids.SHA256),
    "ed25519": (lambda: _bare(ed25519.Ed25519PrivateKey.generate()), oids.ED25519, oids.SHA512),
    "ed448": (lambda: _bare(ed448.Ed448PrivateKey.generate()), oids.ED448, oids.SHAKE256),
    "ml-dsa-65": (lambda: _bare(mldsa.MLDSA65PrivateKey.generate()), "2.16.840.1.101.3.4.3.18", oids.SHA512),
}


DIGESTS: Final = {
    oids.SHA256: "sha256",
    oids.SHA384: "sha384",
    oids.SHA512: "sha512",
    oids.SHA3_256: "sha3_256",
    oids.SHAKE256: "shake_256",
}


def _dsa() -> AnyKey:
    private = dsa.generate_private_key(1024)  # noqa: S505 - a larger one takes seconds to make
    return AnyKey(private, lambda message: private.sign(message, SHA256))


@pytest.mark.parametrize("name", KEYS)
def test_keys_of_every_kind_are_checked(zoo: Zoo, content: bytes, name: str) -> None:
    make, algorithm, hash_oid = KEYS[name]
    key = make()
    holder = AnyHolder(make_clinician(zoo.intermediate, key=key).certificate, key)
    forge = CmsForge(content=content, holder=holder, algorithm=named(algorithm), hash_oid=hash_oid)
    forge.digest_name = DIGESTS[hash_oid]
    expect(verify_bytes(forge.build(), zoo.context()), PASSED)
    changed = replace(forge, spoil=lambda value: value[:20] + bytes((value[20] ^ 1,)) + value[21:])
    assert only(verify_bytes(changed.build(), zoo.context())).crypto is Crypto.BROKEN


def test_a_small_dsa_key_is_checked_and_no_longer_reliable(zoo: Zoo, content: bytes) -> None:
    key = _dsa()
    holder = AnyHolder(make_clinician(zoo.intermediate, key=key).certificate, key)
    forged = CmsForge(content=content, holder=holder, algorithm=named("2.16.840.1.101.3.4.3.2")).build()
    verdict = verify_bytes(forged, zoo.context())
    expect(verdict, UNDECIDED, NO_POE)
    assert only(verdict).crypto is Crypto.INTACT


# Spellings


def indefinite(data: bytes) -> bytes:
    """Spell every constructed value with an indefinite length, and a long content in chunks, as streams do."""
    node = der.parse(data)
    if node.tag == der.OCTET_STRING and len(node.content) > 40:
        chunks = [node.content[at : at + 32] for at in range(0, len(node.content), 32)]
        return b"\x24\x80" + b"".join(map(der.octet_string, chunks)) + b"\0\0"
    if not node.tag & 0x20:
        return data
    return bytes((node.tag, 0x80)) + b"".join(indefinite(child.raw) for child in node.children()) + b"\0\0"


def streamed(data: bytes) -> bytes:
    """Spell a CMS as stream generators do: indefinite down to the content, everything else as it was."""
    kind, explicit = der.parse(data).sequence()
    version, digests, encapsulated, *rest = explicit.inner().sequence()
    content_type, content = encapsulated.sequence()
    inner = b"\x30\x80" + content_type.raw + b"\xa0\x80" + indefinite(content.inner().raw) + b"\0\0\0\0"
    body = version.raw + digests.raw + inner + b"".join(node.raw for node in rest)
    return b"\x30\x80" + kind.raw + b"\xa0\x80\x30\x80" + body + bytes(6)


SPELLINGS: dict[str, Callable[[bytes], bytes]] = {
    "streamed": streamed,
    "pem-of-cms": lambda data: b"-----BEGIN CMS-----\r\n" + _lines(data, b"\r\n") + b"-----END CMS-----\r\n",
    "pem-of-gnupg": lambda data: (
        b"-----BEGIN SIGNED MESSAGE-----\n" + _lines(data, b"\n") + b"-----END SIGNED MESSAGE-----\n"
    ),
    "pem-of-pkcs7": lambda data: b"-----BEGIN PKCS7-----\n" + _lines(data, b"\n") + b"-----END PKCS7-----",
}


def _lines(data: bytes, end: bytes) -> bytes:
    text = base64.b64encode(data)
    return b"".join(text[at : at + 64] + end for at in range(0, len(text), 64))


@pytest.mark.parametrize("name", SPELLINGS)
def test_spellings_leave_the_verdict_alone(zoo: Zoo, cades: bytes, name: str) -> None:
    verdict = verify_bytes(SPELLINGS[name](cades), zoo.context())
    expect(verdict, PASSED)
    assert verdict.format == "CAdES"


# Companions

OTHER_TYPES: Final = {"signed-data": oids.CMS_SIGNED_DATA, "private": "1.3.6.1.4.1.32473.9.3"}


@pytest.mark.parametrize("name", OTHER_TYPES)
def test_a_content_of_another_type_is_signed_all_the_same(zoo: Zoo, content: bytes, name: str) -> None:
    forged = CmsForge(content=content, holder=zoo.clinician, content_type=OTHER_TYPES[name]).build()
    expect(verify_bytes(forged, zoo.context()), PASSED)


def test_harmless_attributes_leave_the_verdict_alone(zoo: Zoo, content: bytes) -> None:
    hints = attribute("1.2.840.113549.1.9.16.2.4", der.sequence(der.utf8("x.xml"), der.oid(oids.CMS_DATA)))
    capabilities = attribute("1.2.840.113549.1.9.15", der.sequence(named(oids.SHA256)))
    mime = attribute("0.4.0.1733.2.1", der.utf8("application/fhir+xml"))
    unknown = attribute("1.3.6.1.4.1.32473.9.4", der.null())
    forged = CmsForge(
        content=content, holder=zoo.clinician, extra=(hints, capabilities, mime, unknown), unsigned=(unknown,)
    )
    expect(verify_bytes(forged.build(), zoo.context()), PASSED)


def ess_v1(certificate: Certificate) -> bytes:
    digest = hashlib.sha1(certificate.der, usedforsecurity=False).digest()
    return attribute(ESS_V1, der.sequence(der.sequence(der.sequence(der.octet_string(digest)))))


def ess_v2(certificate: Certificate, hash_oid: str, digest: bytes) -> bytes:
    serial = der.sequence(der.sequence(der.context(4, certificate.issuer_der)), der.integer(certificate.serial))
    entry = der.sequence(named(hash_oid), der.octet_string(digest), serial)
    policies = der.sequence(der.sequence(der.oid("1.3.6.1.4.1.32473.9.5")))
    return attribute(oids.ATTR_SIGNING_CERTIFICATE_V2, der.sequence(der.sequence(entry), policies))


def test_a_signing_certificate_may_be_named_by_either_attribute_or_both(zoo: Zoo, content: bytes) -> None:
    own, other = zoo.clinician.certificate, zoo.tsa.certificate
    sha512 = ess_v2(own, oids.SHA512, hashlib.sha512(own.der).digest())
    for extra, expected in (
        ((ess_v1(own),), None),
        ((sha512,), None),
        ((ess_v1(own), signing_certificate_v2(own)), None),
        ((ess_v1(other), signing_certificate_v2(own)), "SIG_CONSTRAINTS_FAILURE"),
        ((ess_v1(other),), "SIG_CONSTRAINTS_FAILURE"),
    ):
        forged = CmsForge(content=content, holder=zoo.clinician, without=WITHOUT_REFERENCE, extra=extra).build()
        verdict = verify_bytes(forged, zoo.context())
        expect(verdict, UNDECIDED if expected else PASSED, expected)
        assert (verdict.format, only(verdict).crypto) == ("CAdES", Crypto.INTACT)


def rebuilt(forge: CmsForge, certificates: bytes, revocation: bytes = b"") -> bytes:
    """Build a CMS with a certificate set and revocation data of one's own."""
    parts = [node.raw for node in der.parse(replace(forge, certificates=()).signed_data()).sequence()]
    data = der.sequence(*parts[:3], certificates, revocation, parts[-1])
    return der.sequence(der.oid(oids.CMS_SIGNED_DATA), der.context(0, data))


def test_status_inside_the_signed_data_counts(zoo: Zoo, content: bytes) -> None:
    forge = CmsForge(content=content, holder=zoo.clinician)
    certificates = der.context(0, zoo.intermediate.certificate.der, zoo.clinician.certificate.der)
    answer = ocsp_answer(zoo.intermediate, zoo.clinician, responder=zoo.intermediate.ocsp_responder())
    basic = der.parse(answer).sequence()[1].inner().sequence()[1].inner().raw
    for kind, value in (("1.3.6.1.5.5.7.16.2", answer), ("1.3.6.1.5.5.7.48.1.1", basic)):
        other = der.context(1, der.oid(kind), value)
        data = rebuilt(forge, certificates, der.context(1, zoo.root.crl(), other))
        expect(verify_bytes(data, zoo.context(status_sources=(), intermediates=())), PASSED)
    lists = der.context(1, zoo.root.crl(), zoo.intermediate.crl())
    expect(verify_bytes(rebuilt(forge, certificates, lists), zoo.context(status_sources=())), PASSED)
    silent = verify_bytes(rebuilt(forge, certificates), zoo.context(status_sources=()))
    expect(silent, UNDECIDED, "TRY_LATER")


def test_certificates_of_other_kinds_beside_the_signers_harm_nothing(zoo: Zoo, content: bytes) -> None:
    forge = CmsForge(content=content, holder=zoo.clinician)
    attribute_certificate = der.context(2, der.sequence(der.null()))
    broken = der.sequence(der.integer(1), der.null(), der.null())
    certificates = der.context(
        0, broken, zoo.root.certificate.der, zoo.clinician.certificate.der, attribute_certificate
    )
    verdict = verify_bytes(rebuilt(forge, certificates), zoo.context())
    expect(verdict, PASSED)
    assert Reason.CERTIFICATE_UNREADABLE in reasons(verdict)


def test_a_signature_without_attributes_is_intact_and_unbound(zoo: Zoo, content: bytes) -> None:
    holder: Held = zoo.clinician
    info = [node.raw for node in der.parse(CmsForge(content=content, holder=holder).signer_info()).sequence()]
    bare = der.sequence(*info[:3], info[4], der.octet_string(holder.key.sign(content)))
    parts = [node.raw for node in der.parse(CmsForge(content=content, holder=holder).signed_data()).sequence()]
    data = der.sequence(*parts[:-1], der.tlv(der.SET, bare))
    verdict = verify_bytes(der.sequence(der.oid(oids.CMS_SIGNED_DATA), der.context(0, data)), zoo.context())
    expect(verdict, UNDECIDED, "SIG_CONSTRAINTS_FAILURE")
    assert (verdict.format, only(verdict).crypto) == ("CMS", Crypto.INTACT)


def test_two_signers_of_different_keys_and_hashes_are_judged_each(zoo: Zoo, content: bytes) -> None:
    key = _ecdsa(ec.SECP384R1(), SHA384)
    second = AnyHolder(make_clinician(zoo.intermediate, key=key).certificate, key)
    one = CmsForge(content=content, holder=zoo.clinician)
    two = CmsForge(
        content=content,
        holder=second,
        hash_oid=oids.SHA384,
        digest_name="sha384",
        algorithm=named(oids.ECDSA_WITH_SHA384),
        spoil=lambda value: value[:-1] + bytes((value[-1] ^ 1,)),
    )
    certificates = (zoo.clinician.certificate, second.certificate)
    parts = [node.raw for node in der.parse(replace(one, certificates=certificates).signed_data()).sequence()]
    infos = der.tlv(der.SET, two.signer_info(), one.signer_info())
    data = der.sequence(der.oid(oids.CMS_SIGNED_DATA), der.context(0, der.sequence(*parts[:-1], infos)))
    verdict = verify_bytes(data, zoo.context())
    assert [signature.crypto for signature in verdict.signatures] == [Crypto.BROKEN, Crypto.INTACT]
    assert (verdict.indication, verdict.sub_indication) == ("TOTAL-FAILED", "SIG_CRYPTO_FAILURE")


def test_a_token_in_ber_is_read(zoo: Zoo, content: bytes) -> None:
    token = zoo.stamper(zoo.context().at).stamp(hashlib.sha256(content).digest())
    verdict = verify_bytes(streamed(token), zoo.context(content=content))
    expect(verdict, PASSED)
    assert verdict.format == "RFC3161"


def test_an_empty_content_stands_for_none_where_the_signed_one_is_given(zoo: Zoo, content: bytes) -> None:
    """Some write it so, where RFC 5652 §5.2 leaves the content out."""
    whole = CmsForge(content=content, holder=zoo.clinician).build()
    emptied = _without_content(whole)
    expect(verify_bytes(emptied, zoo.context(content=content)), PASSED)
    for given in (None, b"other"):
        expect(verify_bytes(emptied, zoo.context(content=given)), FAILED, "HASH_FAILURE")
    empty = CmsForge(content=b"", holder=zoo.clinician).build()
    expect(verify_bytes(empty, zoo.context()), PASSED)
    expect(verify_bytes(empty, zoo.context(content=content)), FAILED, "HASH_FAILURE")


def _without_content(data: bytes) -> bytes:
    """Put an empty OCTET STRING in the content's place."""
    kind, explicit = der.parse(data).sequence()
    version, digests, encapsulated, *rest = explicit.inner().sequence()
    inner = der.sequence(encapsulated.sequence()[0].raw, der.context(0, der.octet_string(b"")))
    parts = (version.raw, digests.raw, inner, *(node.raw for node in rest))
    return der.sequence(kind.raw, der.context(0, der.sequence(*parts)))


def test_a_content_of_pkcs_7_is_signed_by_its_value(zoo: Zoo) -> None:
    value = der.integer(7) + der.utf8("a structure of another kind")
    forge = CmsForge(content=value, holder=zoo.clinician, content_type=OTHER_TYPES["private"])
    data = forge.build().replace(der.octet_string(value), der.sequence(value))
    verdict = verify_bytes(data, zoo.context())
    expect(verdict, PASSED)
    assert [item.size for item in only(verdict).covered] == [len(value)]
    plain = replace(forge, content_type=oids.CMS_DATA).build().replace(der.octet_string(value), der.sequence(value))
    expect(verify_bytes(plain, zoo.context()), FAILED, "FORMAT_FAILURE")


def test_what_is_encrypted_is_no_signature(zoo: Zoo) -> None:
    for size in (100, 1000):
        data = der.sequence(der.oid("1.2.840.113549.1.7.3"), der.context(0, der.octet_string(bytes(size))))
        for spelt in (data, SPELLINGS["pem-of-cms"](data), SPELLINGS["pem-of-pkcs7"](data)):
            verdict = verify_bytes(spelt, zoo.context())
            expect(verdict, UNDECIDED)
            assert verdict.format is None
