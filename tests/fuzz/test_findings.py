"""What fuzzing and attacks found, each as the small input that shows it."""

import time

import pytest

from pki import der
from pki.certificates import Certificate
from pki.errors import InvalidInput, ServiceError
from pki.jose import strict_json
from signer.parsers.cades import unwrap_pem
from signer.validation.answers import Good
from signer.validation.crl import parse_crl
from signer.validation.evidence import Evidence
from signer.validation.existence import Existence
from signer.validation.path import CertificatePool
from signer.validation.status import EmbeddedStatus
from tests.support.pki import NOW, make_root, new_key


@pytest.mark.parametrize("end", [b"", b"\\"])
def test_a_json_string_without_an_end_is_read_once_and_not_from_each_of_its_quotes(end: bytes) -> None:
    started = time.process_time()
    with pytest.raises(ServiceError):
        strict_json(b'{"a":' + b"[" * 70 + b'"' + b'\\"' * 60_000 + end)
    assert time.process_time() - started < 5  # it took a minute


def test_white_space_after_a_pem_header_is_read_once() -> None:
    started = time.process_time()
    with pytest.raises(ServiceError):
        unwrap_pem(b"-----BEGIN CMS-----" + b" " * 60_000)
    assert time.process_time() - started < 5  # it took twenty seconds


def test_a_list_of_another_version_is_none() -> None:
    parts = list(der.parse(make_root().crl()).sequence())
    fields = [node.raw for node in parts[0].sequence()]
    for version in (0, 2, 9):
        with pytest.raises(InvalidInput, match="version"):
            parse_crl(der.sequence(der.sequence(der.integer(version), *fields[1:]), parts[1].raw, parts[2].raw))


def test_many_keys_of_an_issuers_name_and_many_lists_cost_a_check_each_and_not_each_pair_a_search() -> None:
    """Unsigned certificates and lists that anybody can add to a good file change neither its verdict nor its cost."""
    root = make_root()
    issuer = root.issue_ca()
    spoilt = [_of_its_own(issuer.certificate.der, number) for number in range(300)]
    lists = [_of_another_key(issuer.crl(number=number)) for number in range(60)]
    pool = CertificatePool([root.certificate, issuer.certificate, *map(Certificate.parse, spoilt)])
    evidence = Evidence(
        pool=pool,
        sources=(EmbeddedStatus(crls=(*lists, issuer.crl())),),
        anchors=frozenset({root.certificate}),
        existence=Existence(NOW),
    )
    started = time.process_time()
    answers = evidence.answers(issuer.issue().certificate, issuer.certificate, NOW)
    assert time.process_time() - started < 5  # it took half a minute
    assert [answer for answer in answers if isinstance(answer, Good)]


def _of_its_own(certificate: bytes, number: int) -> bytes:
    """Write a certificate as if it had issued itself, under another number."""
    tbs, *rest = der.parse(certificate).sequence()
    fields = [node.raw for node in tbs.sequence()]
    fields[1], fields[3] = der.integer(number + 1), fields[5]
    return der.sequence(der.sequence(*fields), *(node.raw for node in rest))


def _of_another_key(crl: bytes) -> bytes:
    tbs, algorithm, _ = der.parse(crl).sequence()
    return der.sequence(tbs.raw, algorithm.raw, der.bit_string(new_key().sign(b"")))
