"""Building paths over loose certificates, and rules of RFC 5280 §6.1 that the rows do not reach."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki.certificates import Certificate
from pki.names import same_name
from signer.validation import path as path_module
from signer.validation.path import CertificatePool, Path, PathInputs, find_paths
from signer.validation.verify import verify_bytes
from tests.signer.validation.expect import PASSED, expect, only
from tests.support.pki import NOW, Issuer, make_root
from tests.support.zoo import Zoo, make_clinician

ANY: Final = "2.5.29.32.0"


def paths(leaf: Certificate, pool: tuple[Certificate, ...], anchor: Certificate, **inputs: Any) -> Iterator[Path]:
    return find_paths(leaf, CertificatePool((anchor, *pool)), frozenset((anchor,)), PathInputs(**inputs))


def problems(leaf: Certificate, pool: tuple[Certificate, ...], anchor: Certificate) -> list[str | None]:
    return [found.problem for found in paths(leaf, pool, anchor)]


def test_an_anchor_is_a_path_of_one(zoo: Zoo) -> None:
    (found,) = paths(zoo.clinician.certificate, (), zoo.clinician.certificate)
    assert (found.chain, found.problem, found.directly_trusted) == ((zoo.clinician.certificate,), None, True)


def test_without_the_intermediate_there_is_no_path(zoo: Zoo) -> None:
    assert problems(zoo.clinician.certificate, (), zoo.root.certificate) == []
    assert problems(zoo.clinician.certificate, (zoo.intermediate.certificate,), zoo.root.certificate) == [None]


def test_an_issuer_certified_twice_is_tried_both_ways_and_the_valid_one_serves(zoo: Zoo, jades: bytes) -> None:
    """The same name and key re-certified, the old certificate expired: found in the field."""
    expired = _recertify(zoo.root, zoo.intermediate)
    pool = (expired, zoo.intermediate.certificate)
    assert problems(zoo.clinician.certificate, pool, zoo.root.certificate) == [None, None]
    for intermediates in (pool, pool[::-1]):
        verdict = verify_bytes(jades, zoo.context(intermediates=intermediates))
        expect(verdict, PASSED)
        assert zoo.intermediate.certificate in only(verdict).chain


def _recertify(root: Issuer, ca: Issuer) -> Certificate:
    issued = root._issue(
        ca.x509.subject,
        ca.key.public_key(),
        [(x509.BasicConstraints(ca=True, path_length=0), True)],
        NOW - timedelta(days=900),
        NOW - timedelta(days=300),
        None,
    )
    return Certificate.parse(issued.public_bytes(Encoding.DER))


def test_cross_certified_roots_end(zoo: Zoo) -> None:
    """Two roots that certify each other, and an intermediate below one, make no endless walk."""
    one, two = make_root("One"), make_root("Two")
    crossed = (_cross(one, two), _cross(two, one))
    leaf = one.issue()
    pool = (one.certificate, two.certificate, *crossed)
    chains = [found.chain for found in paths(leaf.certificate, pool, two.certificate)]
    assert (leaf.certificate, crossed[1], two.certificate) in chains
    assert all(len(set(chain)) == len(chain) for chain in chains)


def _cross(by: Issuer, of: Issuer) -> Certificate:
    issued = by._issue(
        of.x509.subject,
        of.key.public_key(),
        [(x509.BasicConstraints(ca=True, path_length=None), True)],
        NOW - timedelta(days=9),
        NOW + timedelta(days=9),
        None,
    )
    return Certificate.parse(issued.public_bytes(Encoding.DER))


def test_work_is_bounded_over_many_issuers_of_one_name(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = path_module.is_signed_by

    def counted(certificate: Certificate, issuer: Certificate) -> bool:
        calls.append(issuer)
        return real(certificate, issuer)

    monkeypatch.setattr(path_module, "is_signed_by", counted)
    monkeypatch.setattr(path_module, "MAX_CHECKS_A_POOL", 50)
    decoys = tuple(zoo.root.issue_ca("Test intermediate").certificate for _ in range(60))
    assert problems(zoo.clinician.certificate, decoys, make_root().certificate) == []
    assert len(calls) == 50


def test_a_path_that_breaks_no_rule_comes_before_one_that_does(zoo: Zoo) -> None:
    key = zoo.intermediate.key
    no_ca = zoo.root.issue("Test intermediate", key=key)
    leaf = make_clinician(zoo.intermediate).certificate
    renamed = Certificate.parse(no_ca.certificate.der)
    assert list(CertificatePool((renamed,)).issuers(leaf)) == []
    assert problems(leaf, (renamed, zoo.intermediate.certificate), zoo.root.certificate) == [None]


def test_names_chain_without_regard_to_case_and_spacing(zoo: Zoo) -> None:
    def name(text: str) -> bytes:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)]).public_bytes()

    assert same_name(name("Health  CA"), name("health ca"))
    assert not same_name(name("Health CA"), name("Health CB"))
