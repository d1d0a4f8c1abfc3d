"""Each kind of bad request is refused by its name before any key is used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from ca.key_policy import spki_digest
from ca.profiles import ProfileStatus
from ca.refusals import REFUSALS
from ca.service import CertificateAuthority
from ca.status.revocation import RevocationReason
from hsm.soft import UnsafeSoftKey
from pki import der
from pki.certificates import pem
from pki.csr import build_csr, parse_csr
from pki.errors import ServiceError
from pki.keys import SignatureAlgorithm
from tests.ca.refusals import bad_keys, bad_proofs
from tests.ca.world import CENTRE, CITIZEN, CLERK, CLINICIAN, FIRST, SYSTEM, World, file_json, new_csr
from tests.support.officers import EveryOfficer


class WatchedKeys:
    """Keys that tell whether one of them was reached for; it stands where the custodian stands."""

    def __init__(self, keys: Any) -> None:
        self._keys = keys
        self.used: list[str] = []

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._keys, name)
        if name != "signing_key":
            return found

        def reach(label: str) -> Any:
            self.used.append(label)
            return found(label)

        return reach


@dataclass
class Scene:
    """One deployment whose keys are watched from `begin` on, and files to ask with."""

    world: World
    keys: WatchedKeys

    def ask(self, csr: bytes, profile: str = "clin-sign", members: dict[str, Any] = CLINICIAN) -> None:
        self.world.authority.issue(profile, self.world.approved(members).id, csr, "clerk")

    def submit(self, members: dict[str, Any], **changes: Any) -> None:
        self.world.authority.submit_file(file_json({**members, **changes}), CLERK)

    def watch(self) -> None:
        self.keys.used.clear()


@pytest.fixture
def scene(world: World) -> Scene:
    keys = WatchedKeys(world.keys)
    authority = CertificateAuthority(world.database, keys, world.settings, world.clock, gate=EveryOfficer())
    return Scene(replace(world, authority=authority), keys)


Bad = Callable[[Scene], object]


def with_csr(make: Callable[[], bytes]) -> Bad:
    return lambda scene: scene.ask(make())


def a_certificate(scene: Scene) -> bytes:
    return scene.world.issuer().public_bytes(Encoding.DER)


def tampered() -> bytes:
    good = bytearray(new_csr())
    good[-1] ^= 1
    return bytes(good)


def by_another_key() -> bytes:
    key, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    return bad_keys.ec_signed(other, bad_keys.spki_of(key.public_key()))


def wrong_version() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    algorithm = der.sequence(der.oid("1.2.840.10045.4.3.2"))
    info = bad_keys.spki_of(key.public_key())
    return bad_keys.request(info, lambda m: (algorithm, key.sign(m, ec.ECDSA(hashes.SHA256()))), version=1)


def used_before(scene: Scene, profile: str, members: dict[str, Any]) -> None:
    """Certify a key for a clinician's signatures, then ask for it again."""
    csr = new_csr()
    scene.ask(csr)
    scene.watch()
    scene.ask(csr, profile, members)


def compromised(scene: Scene) -> None:
    csr, file = new_csr(), scene.world.approved()
    issued = scene.world.authority.issue("clin-sign", file.id, csr, "clerk")
    scene.world.authority.revoke(issued.serial_hex, RevocationReason.KEY_COMPROMISE, CLERK)
    scene.watch()
    scene.world.authority.issue("clin-sign", file.id, csr, "clerk")


def block_listed(scene: Scene) -> None:
    csr = new_csr()
    listed = frozenset({spki_digest(parse_csr(csr).public_key)})
    settings = replace(scene.world.settings, refused_keys=listed)
    authority = CertificateAuthority(scene.world.database, scene.keys, settings, scene.world.clock, gate=EveryOfficer())
    authority.issue("clin-sign", scene.world.approved().id, csr, "clerk")


def an_authoritys_key(scene: Scene) -> None:
    info = bad_keys.spki_of(scene.world.issuer().public_key())
    authority = scene.world.keys.signing_key("ca-persons")

    def sign(message: bytes) -> tuple[bytes, bytes]:
        return der.sequence(der.oid("1.2.840.10045.4.3.2")), authority.sign(message)

    csr = bad_keys.request(info, sign)
    scene.watch()
    scene.ask(csr)


def with_profiles(scene: Scene, *, without: str = "", retired: str = "") -> CertificateAuthority:
    profiles = scene.world.settings.profiles
    kept = {str(p.name): p for p in profiles if p.name != without}
    if retired:
        kept[retired] = replace(kept[retired], status=ProfileStatus.RETIRED)
    settings = replace(scene.world.settings, profiles=replace(profiles, profiles=kept))
    return CertificateAuthority(scene.world.database, scene.keys, settings, scene.world.clock, gate=EveryOfficer())


def retired(scene: Scene) -> None:
    with_profiles(scene, retired="clin-sign").issue("clin-sign", scene.world.approved().id, new_csr(), "clerk")


def without_a_profile(scene: Scene) -> None:
    with_profiles(scene, without="clin-auth").issue("clin-auth", scene.world.approved().id, new_csr(), "clerk")


def approved_once(scene: Scene) -> None:
    file = scene.world.submitted()
    scene.world.authority.approve(file.id, FIRST)
    scene.world.authority.issue("clin-sign", file.id, new_csr(), "clerk")


def refused(scene: Scene) -> None:
    file = scene.world.submitted()
    scene.world.authority.refuse(file.id, FIRST, "licence lapsed")
    scene.world.authority.issue("clin-sign", file.id, new_csr(), "clerk", unapproved=True)


def approved_twice_by_one(scene: Scene) -> None:
    file = scene.world.submitted()
    scene.world.authority.approve(file.id, FIRST)
    scene.world.authority.approve(file.id, FIRST)


def rsa_2048_for_a_centre(scene: Scene) -> None:
    scene.ask(bad_keys.rsa_of(2048), "hix-seal", CENTRE)


NATIONAL = "national_code"
KINDS: dict[str, tuple[str, Bad]] = {
    **bad_proofs.KINDS,
    "no request": ("csr.empty", with_csr(lambda: b"")),
    "only blanks": ("csr.empty", with_csr(lambda: b" \r\n")),
    "a huge request": ("csr.too-large", with_csr(lambda: new_csr() + bytes(40_000))),
    "random octets": ("csr.malformed", with_csr(lambda: b"\xde\xad\xbe\xef" * 64)),
    "a request cut short": ("csr.malformed", with_csr(lambda: new_csr()[:-7])),
    "an indefinite length": ("csr.malformed", with_csr(lambda: b"\x30\x80" + new_csr()[4:] + b"\x00\x00")),
    "broken base64": (
        "csr.malformed",
        with_csr(lambda: b"-----BEGIN CERTIFICATE REQUEST-----\n!!!!\n-----END CERTIFICATE REQUEST-----\n"),
    ),
    "another armour": ("csr.malformed", with_csr(lambda: b"-----BEGIN PKCS7-----\nMAA=\n-----END PKCS7-----\n")),
    "octets after the request": ("csr.trailing-octets", with_csr(lambda: new_csr() + b"\x00")),
    "two requests": ("csr.trailing-octets", with_csr(lambda: new_csr() + new_csr())),
    "a request of version 2": ("csr.wrong-version", with_csr(wrong_version)),
    "a certificate": ("csr.is-certificate", lambda scene: scene.ask(a_certificate(scene))),
    "a certificate in armour": ("csr.is-certificate", lambda scene: scene.ask(pem(a_certificate(scene)).encode())),
    "a private key": (
        "csr.is-private-key",
        with_csr(lambda: b"-----BEGIN EC PRIVATE KEY-----\nMAA=\n-----END EC PRIVATE KEY-----\n"),
    ),
    "a changed signature": ("csr.signature-wrong", with_csr(tampered)),
    "another key's signature": ("csr.signature-wrong", with_csr(by_another_key)),
    "ECDSA over SHA-1": (
        "csr.signature-sha1",
        with_csr(lambda: bad_keys.ec_request(ec.SECP256R1(), hashes.SHA1())),  # noqa: S303 - what is refused
    ),
    "RSA over SHA-1": ("csr.signature-sha1", with_csr(lambda: bad_keys.rsa_with_digest("1.2.840.113549.1.1.5"))),
    "RSA over MD5": ("csr.signature-md5", with_csr(lambda: bad_keys.rsa_with_digest("1.2.840.113549.1.1.4"))),
    "RSA-1024": ("key.rsa-too-short", with_csr(lambda: bad_keys.rsa_of(1024))),
    "RSA-2056": ("key.rsa-too-short", with_csr(lambda: bad_keys.rsa_of(2056))),
    "RSA-3076": ("key.rsa-odd-size", with_csr(lambda: bad_keys.rsa_of(3076))),
    "RSA-4112": ("key.rsa-too-long", with_csr(bad_keys.too_long)),
    "RSA with exponent 1": ("key.exponent-small", with_csr(lambda: bad_keys.rsa_of(2048, 1))),
    "RSA with exponent 257": ("key.exponent-small", with_csr(lambda: bad_keys.rsa_of(2048, 257))),
    "RSA with exponent 2": ("key.exponent-even", with_csr(lambda: bad_keys.rsa_of(2048, 2))),
    "RSA with an exponent of 300 bits": (
        "key.exponent-huge",
        with_csr(lambda: bad_keys.rsa_of(2048, bad_keys.HUGE_EXPONENT)),
    ),
    "an RSA key of the ROCA generator": ("key.roca", with_csr(bad_keys.roca)),
    "RSA with a small factor": ("key.small-factor", with_csr(bad_keys.small_factor)),
    "RSA with close primes": ("key.close-primes", with_csr(bad_keys.close_primes)),
    "P-224": ("key.curve-p224", with_csr(lambda: bad_keys.ec_request(ec.SECP224R1()))),
    "P-521": ("key.curve-p521", with_csr(lambda: bad_keys.ec_request(ec.SECP521R1()))),
    "secp256k1": ("key.curve-secp256k1", with_csr(lambda: bad_keys.ec_request(ec.SECP256K1()))),
    "brainpoolP256r1": ("key.curve-brainpool", with_csr(lambda: bad_keys.ec_request(ec.BrainpoolP256R1()))),
    "brainpoolP512r1": ("key.curve-brainpool", with_csr(lambda: bad_keys.ec_request(ec.BrainpoolP512R1()))),
    "a curve nobody knows": ("key.curve-other", with_csr(lambda: bad_keys.with_point(b"\x04" + bytes(64), "1.3.36.3"))),
    "P-192": ("key.curve-other", with_csr(lambda: bad_keys.ec_request(ec.SECP192R1()))),
    "explicit curve parameters": ("key.explicit-parameters", with_csr(bad_keys.explicit_parameters)),
    "a point beside the curve": ("key.point-off-curve", with_csr(lambda: bad_keys.with_point(None))),
    "a point cut short": ("key.point-off-curve", with_csr(lambda: bad_keys.with_point(b"\x04" + bytes(31)))),
    "the point at infinity": ("key.point-infinity", with_csr(lambda: bad_keys.with_point(b"\x00"))),
    "a kind nobody knows": (
        "key.unreadable",
        with_csr(
            lambda: bad_keys.ec_signed(
                ec.generate_private_key(ec.SECP256R1()),
                bad_keys.spki(der.sequence(der.oid("1.3.36.3.9")), b"key"),
            )
        ),
    ),
    "DSA": ("key.dsa", with_csr(lambda: bad_keys.other_kind("dsa"))),
    "Ed25519": ("key.ed25519", with_csr(lambda: bad_keys.other_kind("ed25519"))),
    "Ed448": ("key.ed448", with_csr(lambda: bad_keys.other_kind("ed448"))),
    "X25519": ("key.x25519", with_csr(lambda: bad_keys.other_kind("x25519"))),
    "X448": ("key.x25519", with_csr(lambda: bad_keys.other_kind("x448"))),
    "ML-DSA-44": ("key.mldsa", with_csr(lambda: bad_keys.other_kind("mldsa"))),
    "RSA-2048 outside a card": ("key.kind-not-in-profile", rsa_2048_for_a_centre),
    "a key on the block list": ("key.block-listed", block_listed),
    "another person's key": ("key.other-holder", lambda scene: used_before(scene, "cit-sign", CITIZEN)),
    "one's own key for another purpose": (
        "key.other-purpose",
        lambda scene: used_before(scene, "clin-auth", CLINICIAN),
    ),
    "a compromised key": ("key.compromised", compromised),
    "an authority's key": ("key.of-an-authority", an_authoritys_key),
    "a profile nobody knows": ("profile.unknown", lambda scene: scene.ask(new_csr(), "clin-encrypt")),
    "a profile that was taken out": ("profile.unknown", without_a_profile),
    "a retired profile": ("profile.retired", retired),
    "a citizen's profile for a clinician": ("profile.wrong-holder", lambda scene: scene.ask(new_csr(), "cit-sign")),
    "a CA's profile": ("profile.service-only", lambda scene: scene.ask(new_csr(), "issuing-ca")),
    "a responder's profile": ("profile.service-only", lambda scene: scene.ask(new_csr(), "ocsp")),
    "a file that is not there": (
        "file.absent",
        lambda scene: scene.world.authority.issue("clin-sign", "0" * 20, new_csr(), "clerk"),
    ),
    "a file without approvals": (
        "file.not-approved",
        lambda scene: scene.world.authority.issue("clin-sign", scene.world.submitted().id, new_csr(), "clerk"),
    ),
    "a file with one approval": ("file.not-approved", approved_once),
    "a refused file": ("file.closed", refused),
    "the submitter's yes": (
        "officer.submitted-it",
        lambda scene: scene.world.authority.approve(scene.world.submitted().id, CLERK),
    ),
    "a second yes by one officer": ("officer.twice", approved_twice_by_one),
    "a national code of 7 digits": (
        "identity.national-code-form",
        lambda s: s.submit(CITIZEN, **{NATIONAL: "1234567"}),
    ),
    "a national code of letters": (
        "identity.national-code-form",
        lambda s: s.submit(CITIZEN, **{NATIONAL: "abcdefghij"}),
    ),
    "a national code of one digit": (
        "identity.national-code-reserved",
        lambda s: s.submit(CITIZEN, **{NATIONAL: "1111111111"}),
    ),
    "a national code mistyped": (
        "identity.national-code-check-digit",
        lambda s: s.submit(CITIZEN, **{NATIONAL: "0000012344"}),
    ),
    "a legal id of 10 digits": ("identity.legal-id-form", lambda s: s.submit(CENTRE, legal_id="1038028479")),
    "a legal id mistyped": ("identity.legal-id-check-digit", lambda s: s.submit(CENTRE, legal_id="10380284791")),
    "a physician's number with a letter": (
        "identity.council-number-form",
        lambda s: s.submit(CLINICIAN, council_number="a-123"),
    ),
    "a council number in Persian letters": (
        "identity.council-number-script",
        lambda s: s.submit(CLINICIAN, profession="midwife", council_number="م-12345"),
    ),
    "a SIAM id with a slash": ("identity.siam-id-form", lambda s: s.submit(CENTRE, siam_id="c/1001")),
    "an empty name": ("identity.name-length", lambda s: s.submit(CITIZEN, surname=" ")),
    "a name of 65 characters": ("identity.name-length", lambda s: s.submit(CITIZEN, surname="x" * 65)),
    "a name that turns the text round": ("identity.name-character", lambda s: s.submit(CITIZEN, surname="a\u202eb")),
    "a name with a NUL": ("identity.name-character", lambda s: s.submit(CITIZEN, surname="a\x00b")),
    "a member nobody knows": ("registration.malformed", lambda s: s.submit(CITIZEN, role="minister")),
    "a member that is missing": ("registration.malformed", lambda s: s.submit({"kind": "citizen"})),
    "a holder of a kind nobody knows": ("registration.malformed", lambda s: s.submit({"kind": "robot"})),
    "a profession nobody knows": ("registration.malformed", lambda s: s.submit(CLINICIAN, profession="wizard")),
    "a system without hosts": ("registration.malformed", lambda s: s.submit(SYSTEM, hosts=[])),
    "a host that is a wish": ("registration.malformed", lambda s: s.submit(SYSTEM, hosts=["*.example.org"])),
    "evidence without a digest": (
        "registration.malformed",
        lambda s: s.submit(CITIZEN, evidence=[{"what": "id card", "sha256": "00"}]),
    ),
    "a huge registration file": ("registration.too-large", lambda s: s.submit(CITIZEN, surname="x" * 17_000)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_request_is_refused_by_name_before_any_key_is_used(kind: str, scene: Scene) -> None:
    reason, send = KINDS[kind]
    with pytest.raises(ServiceError) as refused_by:
        send(scene)
    assert refused_by.value.reason == reason, refused_by.value
    assert refused_by.value.code is REFUSALS[reason].code
    assert scene.keys.used == []


def test_a_good_request_reaches_the_key(scene: Scene) -> None:
    scene.ask(new_csr())
    assert "ca-persons" in scene.keys.used


def test_there_are_at_least_sixty_kinds() -> None:
    assert len(KINDS) >= 60
    assert len({reason for reason, _ in KINDS.values()}) >= 60


def test_the_crafted_rsa_requests_are_good_but_for_what_they_are_refused_for() -> None:
    assert parse_csr(bad_keys.rsa_of(3072)).public_key is not None
    assert parse_csr(build_csr(UnsafeSoftKey.generate(SignatureAlgorithm.ES256), "a")).spki_der
    made = x509.load_der_x509_csr(bad_keys.close_primes())
    assert made.is_signature_valid
