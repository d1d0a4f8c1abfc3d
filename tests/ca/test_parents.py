"""What a parent CA sends is judged by name before anything of it is used."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from ca.hierarchy import authority_common_name
from ca.parents import (
    Path,
    check_compatible,
    check_installable,
    needed_policies,
    needed_purposes,
    path_of,
    read_certificates,
    requested_extensions,
)
from ca.profiles import ISSUING_AUTHORITIES, IssuerName
from ca.refusals import REFUSALS
from ca.subjects import service_subject
from pki import der, oids
from pki.certificates import Certificate
from pki.errors import InvalidInput, ServiceError, VerificationFailed
from tests.ca.parent_ca import NAME, Parent, pem
from tests.ca.world import SETTINGS, START

SUBJECT = service_subject(SETTINGS, authority_common_name(IssuerName.SYSTEMS)).name
KEY = ec.generate_private_key(ec.SECP256R1()).public_key()
SPKI = x509.SubjectKeyIdentifier.from_public_key(KEY)
HOSTS = ("127.0.0.1", "exchange.example")


def parsed(*certificates: x509.Certificate) -> tuple[Certificate, ...]:
    return tuple(Certificate.parse(one.public_bytes(Encoding.DER)) for one in certificates)


def judge(*certificates: x509.Certificate, present: Certificate | None = None) -> Path:
    """Do what an installation does with what came."""
    found = parsed(*certificates)
    spki = parsed(Parent().certificate(SUBJECT, KEY))[0].spki_der
    path = path_of(spki, found)
    assert path is not None
    check_installable(path, spki, SUBJECT.public_bytes(), START, present=present)
    check_compatible(path, IssuerName.SYSTEMS, SETTINGS, hosts=HOSTS)
    return path


def issued(parent: Parent, **changes: Any) -> x509.Certificate:
    return parent.certificate(SUBJECT, KEY, **changes)


def under_health(**changes: Any) -> tuple[x509.Certificate, ...]:
    """A good path: a ministry's root, a health intermediate, ours; `changes` are the intermediate's."""
    root = Parent()
    health, certificate = root.below("Health", **changes)
    return issued(health), certificate, root.own()


def test_a_path_is_found_in_any_order_among_others() -> None:
    stranger = Parent(name=x509.Name([]))
    own, health, root = under_health()
    path = judge(root, stranger.own(), health, own)
    assert (path.own, path.above) == (parsed(own)[0], parsed(health, root))


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_certificates_of_one_issuer_the_later_one_counts_in_any_order(turned: bool) -> None:
    root = Parent()
    health, certificate = root.below("Health")
    ended = root.certificate(health.name, health.key.public_key(), path_length=1, days=(-9, -2))
    both = (ended, certificate)[:: -1 if turned else 1]
    anchor = root.own()
    assert judge(issued(health), *both, anchor).above == parsed(certificate, anchor)


@pytest.mark.parametrize("turned", [False, True])
def test_a_root_that_another_certified_too_ends_the_path(turned: bool) -> None:
    root, older = Parent(), Parent(name=x509.Name.from_rfc4514_string("CN=Older"))
    anchor = root.own(days=(-9, 365))
    crossed = older.certificate(root.name, root.key.public_key(), path_length=None)
    both = (anchor, crossed)[:: -1 if turned else 1]
    assert judge(issued(root), *both).above == parsed(anchor)


def _policies(*names: str) -> tuple[x509.ExtensionType, bool]:
    return x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier(n), None) for n in names]), False


def _purposes(*names: str) -> tuple[x509.ExtensionType, bool]:
    return x509.ExtendedKeyUsage([x509.ObjectIdentifier(name) for name in names]), False


def _names(permitted: list[x509.GeneralName] | None, excluded: list[x509.GeneralName] | None) -> Any:
    return [(x509.NameConstraints(permitted, excluded), True)]


def _strangers_own() -> tuple[x509.Certificate, ...]:
    own, health, _root = under_health()
    return own, health, Parent().own()


def _weak_root() -> tuple[x509.Certificate, ...]:
    root = Parent(key=ec.generate_private_key(ec.SECP521R1()))
    return issued(root), root.own()


def _short_rsa() -> tuple[x509.Certificate, ...]:
    root = Parent(key=rsa.generate_private_key(65537, 1024))  # type: ignore[arg-type]  # noqa: S505 - signs, and is refused
    return issued(root), root.own()


def _sha1() -> tuple[x509.Certificate, ...]:
    """Sign again over SHA-1, which the library itself no longer does."""
    key = rsa.generate_private_key(65537, 2048)
    root = Parent(key=key)  # type: ignore[arg-type]  # signs as well
    good = issued(root)
    tbs, algorithm, _signature = der.parse(good.public_bytes(Encoding.DER)).sequence()
    sha1 = der.sequence(der.oid("1.2.840.113549.1.1.5"), der.null())
    old = tbs.raw.replace(algorithm.raw, sha1)
    signature = key.sign(old, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303 - what is refused
    whole = der.sequence(old, sha1, der.bit_string(signature))
    return x509.load_der_x509_certificate(whole), root.own()


def _long_serial() -> tuple[x509.Certificate, ...]:
    """Sign again under a serial number of 21 octets, which the library itself does not write."""
    root = Parent()
    good = issued(root)
    tbs, algorithm, _signature = der.parse(good.public_bytes(Encoding.DER)).sequence()
    fields = [one.raw for one in tbs.sequence()]
    fields[1] = der.integer(1 << 160)
    new = der.sequence(*fields)
    whole = der.sequence(new, algorithm.raw, der.bit_string(root.key.sign(new, ec.ECDSA(hashes.SHA384()))))
    return x509.load_der_x509_certificate(whole), root.own()


def _one(**changes: Any) -> tuple[x509.Certificate, ...]:
    root = Parent()
    return issued(root, **changes), root.own()


def _other_name() -> tuple[x509.Certificate, ...]:
    root = Parent()
    return root.certificate(NAME, KEY), root.own()


def _too_long() -> tuple[x509.Certificate, ...]:
    parent, found = Parent(), []
    found.append(parent.own())
    for number in range(6):
        parent, certificate = parent.below(f"Level {number}", path_length=None)
        found.append(certificate)
    return issued(parent), *found


UNKNOWN = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.32473.9"), b"\x05\x00"), True)
TEHRAN = x509.DirectoryName(x509.Name.from_rfc4514_string("O=Somebody else,C=IR"))
WRONG: dict[str, list[Callable[[], tuple[x509.Certificate, ...]]]] = {
    "chain.name-differs": [_other_name],
    "chain.serial-number": [_long_serial],
    "chain.not-valid-now": [
        lambda: _one(days=(-9, -1)),
        lambda: _one(days=(1, 9)),
        lambda: under_health(days=(-9, -1)),
    ],
    "chain.not-an-authority": [lambda: _one(ca=False), lambda: _one(critical=False), lambda: under_health(ca=False)],
    "chain.key-usage": [lambda: _one(usage={"crl_sign": False}), lambda: under_health(usage={"key_cert_sign": False})],
    "chain.critical-extension": [lambda: _one(others=[UNKNOWN]), lambda: under_health(others=[UNKNOWN])],
    "chain.path-length": [lambda: under_health(path_length=0)],
    "chain.issuer-missing": [lambda: under_health()[:2], lambda: under_health()[::2]],
    "chain.signature-wrong": [_strangers_own],
    "chain.too-long": [_too_long],
    "chain.weak-key": [_weak_root, _short_rsa],
    "chain.weak-signature": [_sha1],
    "chain.purpose": [
        lambda: _one(others=[_purposes(oids.EKU_CLIENT_AUTH)]),
        lambda: under_health(others=[_purposes(oids.EKU_SERVER_AUTH)]),
    ],
    "chain.policy": [
        lambda: _one(others=[_policies("1.3.6.1.4.1.32473.77")]),
        lambda: under_health(others=[(x509.PolicyConstraints(0, None), True), _policies(oids.ANY_POLICY)]),
    ],
    "chain.name-constraints": [
        lambda: under_health(others=_names([TEHRAN], None)),
        lambda: under_health(others=_names(None, [x509.DNSName("example")])),
    ],
}


@pytest.mark.parametrize(("reason", "number"), [(name, n) for name, all_ in WRONG.items() for n in range(len(all_))])
def test_each_wrong_path_is_refused_by_its_name(reason: str, number: int) -> None:
    with pytest.raises(VerificationFailed) as refused:
        judge(*WRONG[reason][number]())
    assert refused.value.reason == reason
    assert REFUSALS[reason].code is refused.value.code


def test_what_asks_for_no_more_than_is_allowed_is_taken() -> None:
    wanted = [
        _purposes(*needed_purposes(IssuerName.SYSTEMS, SETTINGS)),
        _policies(*needed_policies(IssuerName.SYSTEMS, SETTINGS)),
    ]
    ours = x509.DirectoryName(x509.Name(list(SUBJECT)[:2]))
    hosts: list[x509.GeneralName] = [ours, x509.DNSName("example")]
    explicit = [(x509.PolicyConstraints(0, None), True), _policies(oids.ANY_POLICY), *_names(hosts, None)]
    root = Parent()
    health, certificate = root.below("Health", others=explicit)
    judge(issued(health, others=wanted), certificate, root.own())


def test_a_certificate_for_another_key_is_not_ours() -> None:
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    root = Parent()
    assert path_of(parsed(issued(root))[0].spki_der, parsed(root.certificate(SUBJECT, other), root.own())) is None


def test_a_later_certificate_of_the_same_parent_takes_the_place_of_an_older_one_only() -> None:
    root = Parent()
    old, new = issued(root, days=(-9, 300)), issued(root, days=(-1, 900))
    judge(new, root.own(), present=parsed(old)[0])
    judge(old, root.own(), present=parsed(old)[0])
    with pytest.raises(VerificationFailed) as refused:
        judge(old, root.own(), present=parsed(new)[0])
    assert refused.value.reason == "chain.older"
    assert judge(old, new, root.own()).own == parsed(new)[0]  # of two the one that begins later


def test_the_key_identifier_that_certificates_name_stays() -> None:
    root = Parent()
    present = parsed(issued(root, identifier=x509.SubjectKeyIdentifier(b"another one")))[0]
    with pytest.raises(VerificationFailed) as refused:
        judge(issued(root), root.own(), present=present)
    assert refused.value.reason == "chain.key-identifier"


@pytest.mark.parametrize("label", ISSUING_AUTHORITIES)
def test_a_request_asks_for_what_the_profiles_need(label: IssuerName) -> None:
    asked = {one.oid.dotted_string: one for one in requested_extensions(label, SETTINGS)}
    constraints = asked[oids.BASIC_CONSTRAINTS]
    assert (constraints.critical, constraints.value) == (True, x509.BasicConstraints(ca=True, path_length=0))
    policies = {one.policy_identifier.dotted_string for one in asked[oids.CERTIFICATE_POLICIES].value}  # type: ignore[attr-defined]  # policies
    assert policies == set(needed_policies(label, SETTINGS))
    root = Parent()
    for_label = service_subject(SETTINGS, authority_common_name(label)).name
    others = [
        (one.value, one.critical) for name, one in asked.items() if name not in (oids.BASIC_CONSTRAINTS, oids.KEY_USAGE)
    ]
    own = root.certificate(for_label, KEY, others=others)
    path = path_of(parsed(own)[0].spki_der, parsed(own, root.own()))
    assert path is not None
    check_compatible(path, label, SETTINGS, hosts=HOSTS)


def test_certificates_come_as_pem_der_and_pkcs7() -> None:
    found = under_health()
    wanted = set(parsed(*found))
    assert set(read_certificates(pem(*found))) == wanted
    for encoding in (Encoding.PEM, Encoding.DER):
        assert set(read_certificates(pkcs7.serialize_certificates(list(found), encoding))) == wanted
    assert read_certificates(found[0].public_bytes(Encoding.DER)) == parsed(found[0])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30\x00",
        b"-----BEGIN PKCS7-----\n!\n-----END PKCS7-----\n",
        b"-----BEGIN PKCS7-----\nMAA=\n-----END PKCS7-----\n",
        bytes.fromhex("300d06092a864886f70d010702"),
        bytes.fromhex("300f06092a864886f70d010702a000"),
    ],
)
def test_what_holds_no_certificate_is_refused(data: bytes) -> None:
    with pytest.raises(ServiceError) as refused:
        read_certificates(data)
    assert isinstance(refused.value, InvalidInput)


def test_a_path_ends_although_two_authorities_certify_each_other() -> None:
    one, other = Parent(), Parent(name=x509.Name.from_rfc4514_string("CN=Other"))
    crossed = (one.certificate(other.name, other.key.public_key()), other.certificate(one.name, one.key.public_key()))
    with pytest.raises(VerificationFailed) as refused:
        judge(issued(one), *crossed)
    assert refused.value.reason == "chain.issuer-missing"
    assert timedelta() < parsed(crossed[0])[0].not_after - START
