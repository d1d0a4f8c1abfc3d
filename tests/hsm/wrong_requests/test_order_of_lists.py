"""Lists that run backwards: in one custodian, between two of the same keys, and over a restart."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest

from hsm.client import CustodianClient
from hsm.provider import KeyPurpose
from pki import der, oids
from pki.errors import ErrorCode
from pki.keys import SignatureAlgorithm, verify_signature
from tests.hsm import messages as m
from tests.hsm.wrong_requests.judged import CA, Judged, make_judged, now
from tests.support.softhsm import CustodianHome

pytestmark = pytest.mark.real

SECOND = timedelta(seconds=1)


@pytest.fixture(scope="module")
def pair(factory: Callable[[], CustodianHome]) -> Iterator[Judged]:
    """Two custodians over the same keys and marks."""
    judged = make_judged(factory)
    with judged.home.another(1):
        yield judged


@pytest.fixture
def label(pair: Judged, request: pytest.FixtureRequest) -> str:
    """A CA's key that signed no list yet."""
    name = f"ca-{abs(hash(request.node.name)):x}"[:40]
    pair.home.client.generate(name, SignatureAlgorithm.ES256, KeyPurpose.CERTIFICATE_AUTHORITY)
    pair.home.client.set_issuer(name, m.ISSUER)
    return name


def crl(number: int, at: datetime, *more: bytes) -> bytes:
    extensions = (m.extension(oids.CRL_NUMBER, der.integer(number)), *more)
    return m.tbs_cert_list(
        this_update=der.time(at), next_update=der.time(at + timedelta(days=1)), extensions=extensions
    )


def sign(judged: Judged, label: str, message: bytes, index: int = 0) -> None:
    client = judged.client(index=index)
    key = judged.home.client.signing_key(label).public_key()
    verify_signature(key, client.sign(label, message), message)
    client.close()


def refused(judged: Judged, label: str, message: bytes, index: int = 0) -> None:
    client = judged.client(index=index)
    with judged.refusing(ErrorCode.HSM_PURPOSE_REFUSED, act="crl", key=label, index=index):
        client.sign(label, message)
    client.close()


@pytest.mark.parametrize("index", [0, 1], ids=["the same custodian", "the other custodian"])
@pytest.mark.parametrize("number", [0, 6, 7], ids=["nought", "less", "equal"])
def test_a_number_that_does_not_rise_is_refused(pair: Judged, label: str, number: int, index: int) -> None:
    at = now()
    sign(pair, label, crl(7, at))
    refused(pair, label, crl(number, at + SECOND), index)
    sign(pair, label, crl(8, at + SECOND), index)
    refused(pair, label, crl(8, at + 2 * SECOND), 1 - index)


@pytest.mark.parametrize("index", [0, 1], ids=["the same custodian", "the other custodian"])
def test_a_time_that_runs_backwards_is_refused(pair: Judged, label: str, index: int) -> None:
    at = now()
    sign(pair, label, crl(7, at))
    refused(pair, label, crl(8, at - SECOND), index)
    sign(pair, label, crl(8, at), index)


def test_the_order_holds_over_a_restart(pair: Judged, label: str) -> None:
    at = now()
    sign(pair, label, crl(7, at))
    pair.home.process.restart()
    refused(pair, label, crl(7, at + SECOND))
    refused(pair, label, crl(8, at - SECOND))
    sign(pair, label, crl(7, at))  # the very list, whose answer the client may have lost
    sign(pair, label, crl(8, at))


def test_the_order_holds_within_a_batch_and_over_memory_files(pair: Judged, label: str) -> None:
    at = now()
    entry = der.sequence(m.SERIAL, der.time(at))
    with pair.refusing(ErrorCode.HSM_PURPOSE_REFUSED, act="crl", key=label, count=2):
        pair.home.client.sign_many(label, [crl(9, at), crl(8, at)])
    refused(pair, label, crl(9, at + SECOND))
    large = m.tbs_cert_list(
        this_update=der.time(at),
        next_update=der.time(at + timedelta(days=1)),
        entries=der.sequence(entry * 60_000),
        extensions=(m.extension(oids.CRL_NUMBER, der.integer(9)),),
    )
    assert len(large) > 2 * 1024 * 1024
    refused(pair, label, large)


def test_a_list_of_another_scope_has_numbers_of_its_own_and_must_rise_too(pair: Judged, label: str) -> None:
    at, delta = now(), m.extension(oids.DELTA_CRL_INDICATOR, der.integer(5), critical=True)
    sign(pair, label, crl(7, at))
    sign(pair, label, crl(7, at, delta), 1)
    refused(pair, label, crl(6, at, delta))
    refused(pair, label, crl(7, at, m.extension(oids.DELTA_CRL_INDICATOR, der.integer(4), critical=True)))


def test_what_a_refused_role_asks_moves_no_mark(pair: Judged, label: str) -> None:
    at = now()
    server = CustodianClient(pair.home.socket_path("server"))
    with pair.refusing(ErrorCode.NOT_ALLOWED, act="crl", key=label, role="server"):
        server.sign(label, crl(1000, at))
    server.close()
    sign(pair, label, crl(1, at))


def test_the_key_of_the_responder_lists_nothing(pair: Judged) -> None:
    with pair.refusing(ErrorCode.HSM_PURPOSE_REFUSED, act="sign", key="ocsp"):
        pair.home.client.sign("ocsp", crl(1, now()))
    assert CA in {info.label for info in pair.home.client.keys()}
