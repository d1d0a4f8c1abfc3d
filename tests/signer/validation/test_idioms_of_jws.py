"""How other programs write JWS: algorithms, places of the certificate, detached objects, each with its verdict."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from pki import der
from pki.certificates import Certificate
from pki.jose import b64url, compact_json, json_object
from signer.validation.verdict import Crypto
from signer.validation.verify import verify_bytes
from tests.signer.validation.expect import FAILED, PASSED, UNDECIDED, expect, only
from tests.support.forge import JwsForge
from tests.support.zoo import SIGNED_AT, Zoo, make_clinician

NOT_FOUND: Final = "NO_SIGNING_CERTIFICATE_FOUND"
URI: Final = "http://uri.etsi.org/19182/"
SHA512: Final = "http://www.w3.org/2001/04/xmlenc#sha512"


@dataclass(frozen=True)
class AnyKey:
    """A private key with the way in which it makes JOSE values."""

    private: Any
    make: Callable[[bytes], bytes]

    def public_key(self) -> Any:
        return self.private.public_key()


def _ecdsa(curve: ec.EllipticCurve, hashed: hashes.HashAlgorithm) -> AnyKey:
    private = ec.generate_private_key(curve)

    def make(message: bytes) -> bytes:
        size = (curve.key_size + 7) // 8
        r, s = decode_dss_signature(private.sign(message, ec.ECDSA(hashed)))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")

    return AnyKey(private, make)


def _rsa(pad: padding.AsymmetricPadding, hashed: hashes.HashAlgorithm) -> AnyKey:
    private = rsa.generate_private_key(65537, 2048)
    return AnyKey(private, lambda message: private.sign(message, pad, hashed))


def _bare(private: Any) -> AnyKey:
    return AnyKey(private, private.sign)


ALGORITHMS: dict[str, tuple[str, Callable[[], AnyKey]]] = {
    "es384": ("ES384", lambda: _ecdsa(ec.SECP384R1(), hashes.SHA384())),
    "es512": ("ES512", lambda: _ecdsa(ec.SECP521R1(), hashes.SHA512())),
    "es256k": ("ES256K", lambda: _ecdsa(ec.SECP256K1(), hashes.SHA256())),
    "rs512": ("RS512", lambda: _rsa(padding.PKCS1v15(), hashes.SHA512())),
    "ps384": ("PS384", lambda: _rsa(padding.PSS(padding.MGF1(hashes.SHA384()), 48), hashes.SHA384())),
    "eddsa-25519": ("EdDSA", lambda: _bare(ed25519.Ed25519PrivateKey.generate())),
    "eddsa-448": ("EdDSA", lambda: _bare(ed448.Ed448PrivateKey.generate())),
    "ed25519": ("Ed25519", lambda: _bare(ed25519.Ed25519PrivateKey.generate())),
    "ml-dsa-44": ("ML-DSA-44", lambda: _bare(mldsa.MLDSA44PrivateKey.generate())),
}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_algorithms_of_every_kind_are_checked(zoo: Zoo, content: bytes, name: str) -> None:
    algorithm, make = ALGORITHMS[name]
    key = make()
    certificate = make_clinician(zoo.intermediate, key=key).certificate
    header = {"alg": algorithm, "x5c": [base64.b64encode(certificate.der).decode()], "iat": int(SIGNED_AT.timestamp())}
    signing_input = f"{b64url(compact_json(header))}.{b64url(content)}"
    value = key.make(signing_input.encode())
    expect(verify_bytes(f"{signing_input}.{b64url(value)}".encode(), zoo.context()), PASSED)
    broken = verify_bytes(f"{signing_input}.{b64url(bytes((value[0] ^ 1,)) + value[1:])}".encode(), zoo.context())
    expect(broken, FAILED, "SIG_CRYPTO_FAILURE")


# Where the certificate stands


def _x5c(*certificates: Certificate) -> list[str]:
    return [base64.b64encode(certificate.der).decode() for certificate in certificates]


def _kid(certificate: Certificate) -> str:
    names = der.sequence(der.context(4, certificate.issuer_der))
    return base64.b64encode(der.sequence(names, der.integer(certificate.serial))).decode()


def _x_vals(certificate: Certificate, *, clear: bool) -> dict[str, Any]:
    component = {"xVals": [{"x509Cert": {"val": base64.b64encode(certificate.der).decode()}}]}
    return {"etsiU": [component if clear else b64url(compact_json(component))]}


def _by_sha512(certificate: Certificate) -> dict[str, str]:
    return {"digAlg": SHA512, "digVal": b64url(hashlib.sha512(certificate.der).digest())}


Place = tuple[dict[str, Any], dict[str, Any] | None, str | None]
PLACES: dict[str, Callable[[Zoo, Certificate], Place]] = {
    "x5c-outside": lambda _zoo, own: ({"x5c": None}, {"x5c": _x5c(own)}, None),
    "x-vals": lambda _zoo, own: ({"x5c": None}, _x_vals(own, clear=False), None),
    "x-vals-in-clear": lambda _zoo, own: ({"x5c": None}, _x_vals(own, clear=True), None),
    "thumbprint-of-another-hash": lambda _zoo, own: (
        {"x5t#S256": None, "x5t#o": _by_sha512(own), "crit": ["sigT", "x5t#o"]},
        None,
        None,
    ),
    "several-thumbprints": lambda zoo, own: (
        {"x5t#S256": None, "sigX5ts": [_by_sha512(own), _by_sha512(zoo.intermediate.certificate)]},
        None,
        None,
    ),
    "x5c-alone": lambda _zoo, _own: ({"x5t#S256": None}, None, None),
    "kid-alone": lambda _zoo, own: ({"x5t#S256": None, "x5c": None, "kid": _kid(own)}, None, NOT_FOUND),
    "kid-of-a-private-name": lambda _zoo, _own: ({"kid": "key-1"}, None, None),
}


@pytest.mark.parametrize("name", PLACES)
def test_the_certificate_is_found_where_it_stands(zoo: Zoo, content: bytes, name: str) -> None:
    header, unprotected, expected = PLACES[name](zoo, zoo.clinician.certificate)
    forged = JwsForge(payload=content, holder=zoo.clinician, header=header, unprotected=unprotected).flattened()
    expect(verify_bytes(forged, zoo.context()), UNDECIDED if expected else PASSED, expected)


def test_a_key_identifier_finds_the_signer_among_the_anchors_and_binds_nothing(zoo: Zoo, content: bytes) -> None:
    header = {"x5t#S256": None, "x5c": None, "kid": _kid(zoo.clinician.certificate)}
    forged = JwsForge(payload=content, holder=zoo.clinician, header=header).flattened()
    verdict = verify_bytes(forged, zoo.context(anchors=(zoo.clinician.certificate,)))
    expect(verdict, UNDECIDED, "SIG_CONSTRAINTS_FAILURE")
    assert only(verdict).crypto is Crypto.INTACT


# Spellings


def test_a_compact_jws_of_a_pretty_printed_header_is_recognised(zoo: Zoo, content: bytes) -> None:
    x5c = _x5c(zoo.clinician.certificate)
    for indent in (1, "\t"):
        raw = json.dumps({"alg": "ES256", "x5c": x5c}, indent=indent).encode()
        for spelt in (raw, raw.replace(b"\n", b"\r\n")):
            forged = JwsForge(payload=content, holder=zoo.clinician, raw_header=spelt).compact()
            expect(verify_bytes(forged, zoo.context()), PASSED)


def test_a_compact_jws_whose_header_is_spoilt_is_one_all_the_same(zoo: Zoo, content: bytes) -> None:
    good = JwsForge(payload=content, holder=zoo.clinician).compact()
    middle = good.index(b".") // 2
    expect(verify_bytes(good[:middle] + b"!" + good[middle + 1 :], zoo.context()), FAILED, "FORMAT_FAILURE")
    assert verify_bytes(b"eyJyZXNvdXJjZVR5cGUiOiJCYXNpYyJ9!.e30.AAAA", zoo.context()).format is None


def test_a_jws_of_several_signatures_is_judged_by_its_worst(zoo: Zoo, content: bytes) -> None:
    good = json_object(JwsForge(payload=content, holder=zoo.clinician).flattened())
    second = make_clinician(zoo.intermediate)
    other = json_object(JwsForge(payload=b"another payload", holder=second).flattened())
    entries = [{name: one[name] for name in ("protected", "signature")} for one in (good, other)]
    pretty = json.dumps({"payload": good["payload"], "signatures": entries}, indent=2).encode()
    verdict = verify_bytes(b"\n" + pretty + b"\n", zoo.context())
    assert [signature.crypto for signature in verdict.signatures] == [Crypto.INTACT, Crypto.BROKEN]
    expect(verdict, FAILED, "SIG_CRYPTO_FAILURE")


# Detached objects


def detached(zoo: Zoo, sig_d: dict[str, Any], payload: bytes, *, unencoded: bool = False) -> bytes:
    header: dict[str, Any] = {"sigD": sig_d, "crit": ["sigT", "sigD"]}
    if unencoded:
        header |= {"b64": False, "crit": ["sigT", "sigD", "b64"]}
    forge = JwsForge(payload=payload, holder=zoo.clinician, header=header, unencoded=unencoded)
    protected, _payload, signature = forge.parts()
    return compact_json({"protected": protected, "signature": signature})


@pytest.mark.parametrize("unencoded", [False, True])
def test_an_object_named_by_its_uri_is_the_payload(zoo: Zoo, content: bytes, *, unencoded: bool) -> None:
    data = detached(zoo, {"mId": f"{URI}ObjectIdByURI", "pars": ["rx.json"]}, content, unencoded=unencoded)
    expect(verify_bytes(data, zoo.context()), UNDECIDED, "SIGNED_DATA_NOT_FOUND")
    expect(verify_bytes(data, zoo.context(content=content)), PASSED)
    expect(verify_bytes(data, zoo.context(content=content + b" ")), FAILED, "SIG_CRYPTO_FAILURE")


def _by_digest(*objects: bytes, names: list[str] | None = None) -> dict[str, Any]:
    values = [b64url(hashlib.sha256(one).digest()) for one in objects]
    named = [f"{number}.json" for number in range(len(objects))] if names is None else names
    return {"mId": f"{URI}ObjectIdByURIHash", "pars": named, "hashM": "S256", "hashV": values}


def test_of_several_objects_named_by_digest_the_one_that_is_there_is_checked(zoo: Zoo, content: bytes) -> None:
    data = detached(zoo, _by_digest(b"a scan", content), b"")
    for given in (None, content, b"neither"):
        verdict = verify_bytes(data, zoo.context(content=given))
        expect(verdict, UNDECIDED, "SIGNED_DATA_NOT_FOUND")
        assert only(verdict).crypto is Crypto.UNKNOWN
        assert [item.what for item in only(verdict).covered] == (["1.json"] if given == content else [])


def test_digests_beside_a_payload_are_refused(zoo: Zoo, content: bytes) -> None:
    header = {"sigD": _by_digest(b"a scan"), "crit": ["sigT", "sigD"]}
    attached = JwsForge(payload=content, holder=zoo.clinician, header=header).flattened()
    expect(verify_bytes(attached, zoo.context(content=b"a scan")), FAILED, "FORMAT_FAILURE")
    expect(verify_bytes(attached, zoo.context()), FAILED, "FORMAT_FAILURE")


def test_a_value_over_digests_is_checked_though_the_object_is_absent(zoo: Zoo, content: bytes) -> None:
    data = json_object(detached(zoo, _by_digest(content), b""))
    value = data["signature"]
    data["signature"] = ("B" if value[0] == "A" else "A") + value[1:]
    expect(verify_bytes(compact_json(data), zoo.context()), FAILED, "SIG_CRYPTO_FAILURE")


def test_digests_of_more_objects_than_are_named_are_refused(zoo: Zoo, content: bytes) -> None:
    others: tuple[dict[str, Any], ...] = (
        _by_digest(content, names=[]),
        _by_digest(content, content, names=["one"]),
        {"pars": []},
    )
    for sig_d in others:
        expect(verify_bytes(detached(zoo, sig_d, b""), zoo.context(content=content)), FAILED, "FORMAT_FAILURE")


def test_headers_of_a_request_are_nowhere_in_a_file(zoo: Zoo) -> None:
    payload = b"(request-target): post /rx\ncontent-type: application/json"
    sig_d = {"mId": f"{URI}HttpHeaders", "pars": ["(request-target)", "Content-Type"]}
    data = detached(zoo, sig_d, payload, unencoded=True)
    verdict = verify_bytes(data, zoo.context(content=b"{}"))
    expect(verdict, UNDECIDED, "SIGNED_DATA_NOT_FOUND")
    assert only(verdict).crypto is Crypto.UNKNOWN
