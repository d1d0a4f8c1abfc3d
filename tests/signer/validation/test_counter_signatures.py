"""Counter-signatures of CMS and JAdES: judged by themselves; nobody makes a signature better or worse by adding one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pki import der, oids
from pki.jose import b64url, compact_json, json_object, unb64url
from signer.formats.jades import sign_jades
from signer.parsers.cades import parse_cms
from signer.parsers.model import MAX_COUNTER_DEPTH, ParsedSignature
from signer.validation.reasons import Reason
from signer.validation.report import verdict_json
from signer.validation.verdict import Crypto, FileVerdict, Indication, SignatureVerdict
from signer.validation.verify import verify_bytes
from tests.signer.validation.expect import PASSED, expect, only
from tests.support.forge import CmsForge, JwsForge, attribute
from tests.support.pki import Holder, make_root
from tests.support.zoo import SIGNED_AT, Zoo, make_clinician

WITHOUT_TYPE = (oids.ATTR_CONTENT_TYPE,)


def of_cms(zoo: Zoo, data: bytes) -> FileVerdict:
    return verify_bytes(data, zoo.context())


def counter(value: bytes, by: Holder, **changes: Any) -> bytes:
    """Make the SignerInfo of someone who signs a signature's value."""
    members: dict[str, Any] = {"content": value, "holder": by, "signing_time": SIGNED_AT, "without": WITHOUT_TYPE}
    return CmsForge(**(members | changes)).signer_info()


class Fixed:
    """A key that always makes the same signature: what is added beside it leaves it as it was."""

    def __init__(self, holder: Holder) -> None:
        self.certificate, self._key = holder.certificate, holder.key
        self._made: dict[bytes, bytes] = {}
        self.key = self

    def sign(self, message: bytes) -> bytes:
        return self._made.setdefault(message, self._key.sign(message))


def signed_twice(zoo: Zoo, second: Holder, **changes: Any) -> bytes:
    """Make a CMS whose signature `second` has signed."""
    forge = CmsForge(content=b"a scan", holder=Fixed(zoo.clinician), signing_time=SIGNED_AT)
    value = der.parse(forge.signer_info()).sequence()[5].octets()
    added = attribute(oids.ATTR_COUNTERSIGNATURE, counter(value, second, **changes))
    certificates = [zoo.clinician.certificate, second.certificate]
    return replace(forge, unsigned=(added,), certificates=certificates).build()


def the_counter(verdict: FileVerdict) -> SignatureVerdict:
    (found,) = only(verdict).counter_signatures
    return found


def test_a_good_counter_signature_of_cms_is_judged_beside_the_signature(zoo: Zoo) -> None:
    second = make_clinician(zoo.intermediate)
    verdict = of_cms(zoo, signed_twice(zoo, second))
    expect(verdict, PASSED)
    found = the_counter(verdict)
    assert (found.indication, found.crypto) == (Indication.PASSED, Crypto.INTACT)
    assert found.signer is not None
    assert found.signer.certificate == second.certificate
    (line,) = verdict_json(verdict, "x")["signatures"]
    assert [one["indication"] for one in line["counter_signatures"]] == ["TOTAL-PASSED"]


@pytest.mark.parametrize(
    ("changes", "crypto"),
    [
        ({"content": b"another value"}, Crypto.BROKEN),
        ({"spoil": lambda value: value[:-1] + bytes((value[-1] ^ 1,))}, Crypto.BROKEN),
        ({"without": ()}, Crypto.INTACT),  # a content type, which a counter-signature must not have
        ({"without": (*WITHOUT_TYPE, oids.ATTR_MESSAGE_DIGEST)}, Crypto.BROKEN),
    ],
)
def test_a_bad_counter_signature_is_told_and_changes_nothing(zoo: Zoo, changes: Any, crypto: Crypto) -> None:
    verdict = of_cms(zoo, signed_twice(zoo, make_clinician(zoo.intermediate), **changes))
    expect(verdict, PASSED)
    found = the_counter(verdict)
    assert (found.indication, found.crypto) == (Indication.FAILED, crypto)
    assert Reason.COUNTERSIGNATURE_IGNORED in {finding.reason for finding in only(verdict).findings}


def test_a_strangers_counter_signature_is_undecided(zoo: Zoo) -> None:
    verdict = of_cms(zoo, signed_twice(zoo, make_clinician(make_root("Stranger"))))
    expect(verdict, PASSED)
    assert the_counter(verdict).indication is Indication.INDETERMINATE


def test_a_counter_signature_that_cannot_be_read_is_one_that_failed(zoo: Zoo) -> None:
    added = attribute(oids.ATTR_COUNTERSIGNATURE, der.null())
    data = CmsForge(content=b"a", holder=zoo.clinician, unsigned=(added,), signing_time=SIGNED_AT).build()
    verdict = of_cms(zoo, data)
    expect(verdict, PASSED)
    assert the_counter(verdict).indication is Indication.FAILED


def test_signatures_on_signatures_end_at_a_depth(zoo: Zoo) -> None:
    info = CmsForge(content=b"deepest", holder=zoo.clinician, without=WITHOUT_TYPE).signer_info()
    for _ in range(MAX_COUNTER_DEPTH + 2):
        added = attribute(oids.ATTR_COUNTERSIGNATURE, info)
        info = CmsForge(content=b"x", holder=zoo.clinician, without=WITHOUT_TYPE, unsigned=(added,)).signer_info()
    outer = CmsForge(content=b"a", holder=zoo.clinician, unsigned=(attribute(oids.ATTR_COUNTERSIGNATURE, info),))
    (signature,) = parse_cms(outer.build(), None).signatures
    depth = 0
    while isinstance(signature, ParsedSignature) and signature.counter_signatures:
        (signature,), depth = signature.counter_signatures, depth + 1
    assert depth == MAX_COUNTER_DEPTH
    assert isinstance(signature, ParsedSignature)
    assert Reason.COUNTERSIGNATURE_NOT_EVALUATED in {noted.reason for noted in signature.notes}


def with_csig(jws: bytes, member: object) -> bytes:
    members = json_object(jws)
    members["header"] = {"etsiU": [{"cSig": member}]}
    return compact_json(members)


def jades_twice(zoo: Zoo, second: Holder, payload: bytes | None = None) -> bytes:
    holder = zoo.clinician
    jws = sign_jades(b'{"dose":1}', holder.key, holder.chain, signed_at=SIGNED_AT)
    value = unb64url(json_object(jws)["signature"])
    made = json_object(JwsForge(payload=value if payload is None else payload, holder=second).flattened())
    return with_csig(jws, f"{made['protected']}..{made['signature']}")


def test_a_counter_signature_of_jades_covers_the_signature_value(zoo: Zoo) -> None:
    second = make_clinician(zoo.intermediate)
    good = verify_bytes(jades_twice(zoo, second), zoo.context())
    expect(good, PASSED)
    assert the_counter(good).crypto is Crypto.INTACT
    bad = verify_bytes(jades_twice(zoo, second, b"another value"), zoo.context())
    expect(bad, PASSED)
    assert (the_counter(bad).indication, the_counter(bad).crypto) == (Indication.FAILED, Crypto.BROKEN)


@pytest.mark.parametrize("member", ["", "a.b", "a..b", {}, {"signatures": []}, b64url(b"{}") + ".."])
def test_a_counter_signature_of_jades_that_cannot_be_read_is_one_that_failed(zoo: Zoo, member: object) -> None:
    holder = zoo.clinician
    jws = sign_jades(b'{"dose":1}', holder.key, holder.chain, signed_at=SIGNED_AT)
    verdict = verify_bytes(with_csig(jws, member), zoo.context())
    expect(verdict, PASSED)
    assert the_counter(verdict).indication is Indication.FAILED
