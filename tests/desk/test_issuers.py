import socket
import threading
import time
from collections.abc import Sequence

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID

from desk.issuers import chain_of
from pki.certificates import Certificate
from pki.errors import ErrorCode, NotFound
from tests.support.pki import Issuer, make_root
from tests.support.raw_server import always, raw_server, reply

ROOT = make_root()
POLICY = ROOT.issue_ca("Policy CA")
ISSUING = POLICY.issue_ca("Issuing CA")
NAMESAKE = make_root().issue_ca("Policy CA").issue_ca("Issuing CA")
LEAF = ISSUING.issue().certificate


def _pointing_to(*urls: str) -> Certificate:
    """Issue a leaf that names where its issuer's certificate lies."""
    places = [
        x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier(url))
        for url in urls
    ]
    return ISSUING.issue(extra=((x509.AuthorityInformationAccess(places), False),)).certificate


def _names(chain: Sequence[Certificate]) -> list[bytes]:
    return [certificate.der for certificate in chain]


def _ders(*issuers: Issuer) -> list[bytes]:
    return [issuer.certificate.der for issuer in issuers]


def test_the_authorities_above_are_taken_nearest_first_and_without_the_root() -> None:
    given = [each.certificate for each in (ROOT, NAMESAKE, POLICY, ISSUING)]
    assert _names(chain_of(LEAF, given)) == [LEAF.der, *_ders(ISSUING, POLICY)]


def test_an_authority_of_the_same_name_is_not_the_issuer() -> None:
    with pytest.raises(NotFound) as refused:
        chain_of(LEAF, [NAMESAKE.certificate])
    assert refused.value.code is ErrorCode.NOT_FOUND


def test_a_certificate_right_below_the_root_goes_alone() -> None:
    leaf = ROOT.issue().certificate
    assert chain_of(leaf, [ROOT.certificate]) == (leaf,)


def test_two_authorities_that_certify_each_other_do_not_go_round() -> None:
    one, other = make_root("One"), make_root("Other")
    crossed = [_cross(one, by=other), _cross(other, by=one)]
    leaf = one.issue().certificate
    assert _names(chain_of(leaf, crossed)) == [leaf.der, *_names(crossed)]


def _cross(subject: Issuer, *, by: Issuer) -> Certificate:
    """Let one root certify another's key and name."""
    issued = by._issue(
        subject.x509.subject,
        subject.key.public_key(),
        [(x509.BasicConstraints(ca=True, path_length=None), True)],
        subject.x509.not_valid_before_utc,
        subject.x509.not_valid_after_utc,
        None,
    )
    return Certificate.parse(issued.public_bytes(Encoding.DER))


def test_the_issuer_is_fetched_from_where_the_certificate_says() -> None:
    with raw_server(always(reply(ISSUING.certificate.der))) as (url, heads):
        leaf = _pointing_to(f"{url}/ca/issuing.cer")
        assert _names(chain_of(leaf, ())) == [leaf.der, *_ders(ISSUING)]
    assert heads[0].startswith(b"GET /ca/issuing.cer ")


def test_nothing_is_fetched_when_the_chain_was_given() -> None:
    with raw_server(always(reply(ISSUING.certificate.der))) as (url, heads):
        chain_of(_pointing_to(url), [ISSUING.certificate])
    assert heads == []


@pytest.mark.parametrize(
    "answer",
    [
        reply(NAMESAKE.certificate.der),
        reply(b""),
        reply(b"not a certificate"),
        reply(ISSUING.certificate.der, status="404 Not Found"),
        reply(ISSUING.certificate.der + bytes(300_000)),
        b"\x00\x01\x02",
    ],
    ids=["namesake", "empty", "no-certificate", "not-found", "giant", "no-http"],
)
def test_an_answer_that_is_not_the_issuer_leaves_the_certificate_alone(answer: bytes) -> None:
    with raw_server(always(answer)) as (url, _heads):
        leaf = _pointing_to(url)
        assert chain_of(leaf, ()) == (leaf,)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_redirect_is_not_followed(scheme: str) -> None:
    with raw_server(always(reply(ISSUING.certificate.der))) as (elsewhere, reached):
        target = elsewhere.replace("http:", f"{scheme}:")
        moved = reply(b"", status="302 Found", headers=f"Location: {target}/x\r\n")
        with raw_server(always(moved)) as (url, _heads):
            leaf = _pointing_to(url)
            assert chain_of(leaf, ()) == (leaf,)
    assert reached == []


def test_slow_servers_have_one_deadline_together() -> None:
    stop = threading.Event()

    def drip(connection: socket.socket, _head: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not stop.wait(0.02):
            connection.sendall(b"1")

    with raw_server(drip) as (one, _), raw_server(drip) as (other, _):
        leaf = _pointing_to(one, other, f"{one}/again")
        started = time.monotonic()
        assert chain_of(leaf, (), seconds=0.3) == (leaf,)
        assert time.monotonic() - started < 10
        stop.set()


@pytest.mark.parametrize("url", ["http://[::1", "ftp://127.0.0.1/x", "file:///etc/passwd", "http://127.0.0.1:1/"])
def test_an_address_that_leads_nowhere_leaves_the_certificate_alone(url: str) -> None:
    leaf = _pointing_to(url)
    assert chain_of(leaf, ()) == (leaf,)
