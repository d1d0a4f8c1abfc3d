"""Names: comparing them for chaining, and constraining them (RFC 5280 §4.2.1.10, §7.1)."""

import ipaddress
from collections.abc import Sequence

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from pki import der
from pki.certificates import Certificate
from pki.errors import ServiceError
from pki.names import NameConstraints, same_name
from signer.validation.names import readable_name
from tests.support.pki import Issuer, make_root

HOST, MAIL, PAGE, ADDRESS = x509.DNSName, x509.RFC822Name, x509.UniformResourceIdentifier, x509.IPAddress


def network(text: str) -> x509.IPAddress:
    return x509.IPAddress(ipaddress.ip_network(text))


def address(text: str) -> x509.IPAddress:
    return x509.IPAddress(ipaddress.ip_address(text))


def directory(country: str, *, organisation: str | None = None) -> x509.DirectoryName:
    parts = [x509.NameAttribute(x509.NameOID.COUNTRY_NAME, country)]
    if organisation:
        parts.append(x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, organisation))
    return x509.DirectoryName(x509.Name(parts))


@pytest.fixture(scope="module")
def root() -> Issuer:
    return make_root()


def admits(
    root: Issuer,
    names: Sequence[x509.GeneralName],
    permitted: Sequence[x509.GeneralName] | None,
    excluded: Sequence[x509.GeneralName] | None = None,
) -> bool:
    constraints = x509.NameConstraints(permitted, excluded)
    ca = root.issue_ca(extra=((constraints, True),)).certificate
    leaf = root.issue(extra=((x509.SubjectAlternativeName(names), False),)).certificate
    return NameConstraints().within(ca).admit(leaf)


@pytest.mark.parametrize(
    ("name", "base", "expected"),
    [
        (HOST("a.example.ir"), HOST("example.ir"), True),
        (HOST("example.ir"), HOST("example.ir"), True),
        (HOST("notexample.ir"), HOST("example.ir"), False),
        (MAIL("dr@hospital.example"), MAIL("hospital.example"), True),
        (MAIL("dr@hospital.example"), MAIL("dr@hospital.example"), True),
        (MAIL("dr@a.hospital.example"), MAIL("hospital.example"), False),
        (MAIL("dr@a.hospital.example"), MAIL(".hospital.example"), True),
        (PAGE("https://a.example.ir/x"), PAGE(".example.ir"), True),
        (PAGE("https://user@example.ir:8443/x"), PAGE("example.ir"), True),
        (PAGE("https://example.com/example.ir"), PAGE("example.ir"), False),
        (address("10.1.2.3"), network("10.0.0.0/8"), True),
        (address("11.1.2.3"), network("10.0.0.0/8"), False),
        (address("2001:db8::1"), network("2001:db8::/32"), True),
        (address("10.1.2.3"), network("2001:db8::/32"), False),
    ],
)
def test_a_name_is_inside_its_base_or_not(
    root: Issuer, name: x509.GeneralName, base: x509.GeneralName, *, expected: bool
) -> None:
    assert admits(root, [name], [base]) is expected
    assert admits(root, [name], None, [base]) is not expected


def test_a_kind_that_is_not_constrained_is_free(root: Issuer) -> None:
    assert admits(root, [HOST("anything.example")], [MAIL("hospital.example")])


def test_directory_names_are_constrained_by_their_beginning(root: Issuer) -> None:
    names = [HOST("a.example")]
    assert admits(root, names, [directory("IR")])
    assert not admits(root, names, [directory("XX")])
    assert not admits(root, names, [directory("IR", organisation="Another")])
    assert not admits(root, names, None, [directory("IR")])


def test_constraints_only_ever_narrow(root: Issuer) -> None:
    wide = x509.NameConstraints([HOST("example.ir")], None)
    narrow = x509.NameConstraints([HOST("a.example.ir")], None)
    first, second = (root.issue_ca(extra=((c, True),)).certificate for c in (wide, narrow))
    leaf = root.issue(extra=((x509.SubjectAlternativeName([HOST("b.example.ir")]), False),)).certificate
    assert NameConstraints().within(first).admit(leaf)
    for order in ((first, second), (second, first)):
        assert not NameConstraints().within(order[0]).within(order[1]).admit(leaf)


def test_a_mail_address_in_the_subject_is_constrained_too(root: Issuer) -> None:
    attributes = [x509.NameAttribute(x509.NameOID.EMAIL_ADDRESS, "dr@elsewhere.example")]
    issued = root._issue(
        x509.Name(attributes),
        root.key.public_key(),
        [],
        root.x509.not_valid_before_utc,
        root.x509.not_valid_after_utc,
        None,
    )
    leaf = Certificate.parse(issued.public_bytes(Encoding.DER))
    ca = root.issue_ca(extra=((x509.NameConstraints([MAIL("hospital.example")], None), True),)).certificate
    assert not NameConstraints().within(ca).admit(leaf)


@given(st.binary(max_size=60))
def test_any_name_can_be_shown(data: bytes) -> None:
    assert isinstance(readable_name(data), str)
    try:
        same_name(data, der.sequence())
    except (ServiceError, ValueError):
        return
