"""Traps of certificates in the field: characters that their type forbids, odd RSA exponents, old hashes."""

from dataclasses import dataclass, replace
from typing import Any

import pytest

from pki import der
from pki.certificates import Certificate
from signer.formats.cades import sign_cades
from signer.validation.context import VerificationContext
from signer.validation.policy import DEFAULT
from signer.validation.reasons import Reason
from signer.validation.verify import verify_bytes
from tests.signer.validation.expect import UNDECIDED, expect, only, reasons
from tests.support.field import OddKey, certify, printable_name, spki_of
from tests.support.pki import NOW, new_key
from tests.support.zoo import SIGNED_AT

ROOT, HEALTH, PERSON = (printable_name(text) for text in ("Root [G3]", "Health CA [Silver]", "Sample Person [Sign]"))
LENIENT = replace(DEFAULT, require_ca_status=False)


@dataclass(frozen=True, kw_only=True)
class Line:
    """A root, an issuer below it and a signed file."""

    root: Certificate
    issuer: Certificate
    signed: bytes

    def context(self, **changes: Any) -> VerificationContext:
        members: dict[str, Any] = {"at": NOW, "anchors": (self.root,), "intermediates": (self.issuer,)}
        return VerificationContext(**(members | {"policy": LENIENT} | changes))


def make_line(root: OddKey, issuer: OddKey, *, issuer_name: bytes = HEALTH) -> Line:
    signer = new_key()
    leaf = certify(PERSON, spki_of(signer), issuer_name, issuer, ca=False)
    return Line(
        root=certify(ROOT, root.spki, ROOT, root, ca=True),
        issuer=certify(issuer_name, issuer.spki, ROOT, root, ca=True),
        signed=sign_cades(b"content", signer, (leaf,), signed_at=SIGNED_AT, detached=False),
    )


@pytest.mark.parametrize("exponent", [3, 36757, 38113, 59763, 63705])
def test_brackets_in_names_and_odd_exponents_are_no_matter(exponent: int) -> None:
    line = make_line(OddKey(), OddKey(exponent=exponent))
    verdict = verify_bytes(line.signed, line.context())
    assert only(verdict).signer is not None
    assert reasons(verdict) >= {Reason.STATUS_SILENT}
    expect(verdict, UNDECIDED, "TRY_LATER")  # nothing but the status is missing
    assert [c.subject for c in only(verdict).chain] == [
        "CN=Sample Person [Sign]",
        "CN=Health CA [Silver]",
        "CN=Root [G3]",
    ]


def test_a_line_of_sha1_is_recognised_and_not_relied_on() -> None:
    line = make_line(OddKey(digest="sha1"), OddKey(digest="sha1"))
    verdict = verify_bytes(line.signed, line.context())
    expect(verdict, UNDECIDED, "CRYPTO_CONSTRAINTS_FAILURE_NO_POE")
    assert only(verdict).crypto == "intact"
    assert len(only(verdict).chain) == 3


def test_a_signature_of_an_issuer_that_nobody_can_check_is_told_and_not_called_wrong() -> None:
    line = make_line(OddKey(digest="md2"), OddKey())
    verdict = verify_bytes(line.signed, line.context())
    expect(verdict, UNDECIDED, "NO_CERTIFICATE_CHAIN_FOUND")
    told = next(f for f in only(verdict).findings if f.reason is Reason.ALGORITHM_UNSUPPORTED)
    assert (told.indication, told.about) == (None, f"certificate {line.issuer.serial_hex}")


def test_an_issuer_whose_name_cannot_be_read_is_still_the_one_with_the_key() -> None:
    odd = der.sequence(der.tlv(der.SET, der.sequence(der.oid("2.5.4.3"), der.sequence(der.integer(1)), der.null())))
    line = make_line(OddKey(), OddKey(), issuer_name=odd)
    verdict = verify_bytes(line.signed, line.context())
    assert [c.serial for c in only(verdict).chain] == [7, 7, 7]
