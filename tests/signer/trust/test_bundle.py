"""Signed trust bundles: what is written is read, what was changed is refused, no earlier one takes a later's place."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki.errors import Conflict, ErrorCode, InvalidInput, ServiceError
from pki.jose import b64url, compact_json, unb64url
from signer.formats.cades import sign_cades
from signer.formats.jades import sign_jades
from signer.trust import bundle as bundles
from signer.trust.bundle import MEDIA_TYPE, BundleAnchor, TrustBundle, parse_payload
from signer.trust.signed import KeptBundle, SignedBundle, is_kept, read_bundle, read_kept
from signer.trust.signing import sign_bundle
from signer.validation.anchors import AnchorLimits, Purpose
from signer.validation.policy import AlgorithmPolicy
from tests.support.forge import flip
from tests.support.ocsp_forge import ocsp_answer
from tests.support.pki import NOW, Holder, TrustPath

DAY: Final = timedelta(days=1)


@pytest.fixture(scope="module")
def seal(path: TrustPath) -> Holder:
    return path.intermediate.issue("Seal")


@pytest.fixture(scope="module")
def whole(path: TrustPath) -> TrustBundle:
    """A bundle with something of everything."""
    stamps = AnchorLimits(purposes=frozenset((Purpose.TIMESTAMP,)), policies=frozenset(("1.3.6.1.4.1.32473.1.2",)))
    return TrustBundle(
        name="pilot",
        sequence=7,
        issued=NOW,
        next_update=NOW + 30 * DAY,
        anchors=(
            BundleAnchor(certificate=path.root.certificate),
            BundleAnchor(certificate=path.tsa.certificate, limits=stamps),
        ),
        signers=frozenset(("ab" * 32,)),
        intermediates=(path.intermediate.certificate,),
        clusters={"health": frozenset((path.intermediate.certificate.spki_sha256.hex(),))},
        arc="1.3.6.1.4.1.32473.9",
        crls=(path.root.crl(),),
        ocsp_responses=(ocsp_answer(path.intermediate, path.clinician),),
    )


@pytest.fixture(scope="module")
def signed(whole: TrustBundle, seal: Holder) -> bytes:
    return sign_bundle(whole, seal.key, seal.chain)


def refusal(data: bytes, **changes: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        read_bundle(data, **({"now": NOW} | changes))
    assert caught.value.code is ErrorCode.TRUST_REFUSED
    return caught.value.reason


def resigned(payload: bytes, seal: Holder, content_type: str = MEDIA_TYPE) -> bytes:
    return sign_jades(payload, seal.key, seal.chain, signed_at=NOW, content_type=content_type)


def altered(whole: TrustBundle, seal: Holder, **members: Any) -> bytes:
    return resigned(compact_json(json.loads(whole.payload()) | members), seal)


def test_what_is_written_is_read(whole: TrustBundle, signed: bytes, seal: Holder) -> None:
    found = read_bundle(signed, NOW)
    assert found.bundle == whole
    assert found.signer == seal.certificate
    assert found.by(frozenset((seal.certificate.spki_sha256.hex(),))) is found
    assert found.next_signers == whole.signers
    assert sign_bundle(whole, seal.key, seal.chain) != b""


def test_a_bundle_is_relied_on_by_the_key_that_signed_it(signed: bytes, path: TrustPath) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_bundle(signed, NOW).by(frozenset((path.root.certificate.spki_sha256.hex(),)))
    assert caught.value.reason == "trust.signer"


def test_a_changed_octet_is_refused(signed: bytes) -> None:
    document = json.loads(signed)
    for member in ("payload", "signature", "protected"):
        raw = unb64url(document[member])
        spoilt = compact_json(document | {member: b64url(flip(raw, len(raw) // 2))})
        assert refusal(spoilt) in ("trust.signature", "trust.form")
    assert refusal(signed[:-2]) == "trust.form"
    assert refusal(b"") == "trust.form"


def test_two_signatures_are_one_too_many(signed: bytes) -> None:
    document = json.loads(signed)
    one = {name: document[name] for name in ("protected", "signature")}
    both = compact_json({"payload": document["payload"], "signatures": [one, one]})
    assert refusal(both) == "trust.signature"


def test_another_kind_of_signed_text_is_no_bundle(whole: TrustBundle, seal: Holder) -> None:
    assert refusal(resigned(whole.payload(), seal, content_type="application/json")) == "trust.format"
    assert refusal(resigned(b"{}", seal)) == "trust.format"
    cms = sign_cades(whole.payload(), seal.key, seal.chain, signed_at=NOW, detached=False)
    assert refusal(cms) == "trust.form"


def test_a_bundle_of_the_future_is_refused_and_an_old_one_is_not(signed: bytes) -> None:
    assert refusal(signed, now=NOW - DAY) == "trust.future"
    assert read_bundle(signed, NOW - timedelta(minutes=4)).bundle.sequence == 7
    assert read_bundle(signed, NOW + 900 * DAY).bundle.stamp().is_outdated(NOW + 31 * DAY)


WRONG: Final[dict[str, dict[str, Any]]] = {
    "another format": {"format": "mohr-trust/2"},
    "an unknown member": {"more": 1},
    "no sequence": {"sequence": 0},
    "a sequence in words": {"sequence": "7"},
    "a sequence that is true": {"sequence": True},
    "too high a sequence": {"sequence": 2**53},
    "a name with capitals": {"name": "Pilot"},
    "no anchors": {"anchors": []},
    "anchors of another form": {"anchors": [{}]},
    "ends before it begins": {"next_update": "2026-11-22T08:00:00Z"},
    "lives too long": {"next_update": "2028-11-22T09:00:00Z"},
    "fractions": {"issued": "2026-11-22T09:00:00.5Z"},
    "no instant": {"issued": 1},
    "signers by name": {"signers": ["seal"]},
    "too many signers": {"signers": ["ab" * 32] * 300},
    "a signer twice": {"signers": ["ab" * 32] * 2},
    "clusters in a list": {"clusters": []},
    "a cluster by name": {"clusters": {"health": ["CN=Health"]}},
    "an arc in words": {"arc": "pilot"},
    "no base64": {"crls": ["*"]},
    "no CRL": {"crls": ["AAAA"]},
    "no OCSP answer": {"ocsp": ["MAA="]},
    "no certificate": {"intermediates": ["AAAA"]},
    "too many lists": {"crls": ["AAAA"] * 129},
    "lists of numbers": {"crls": [1]},
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_not_of_the_form_is_refused_though_it_is_signed(whole: TrustBundle, seal: Holder, case: str) -> None:
    assert refusal(altered(whole, seal, **WRONG[case])) in ("trust.form", "trust.format", "trust.limits")


@pytest.mark.parametrize("change", [{"purposes": []}, {"purposes": ["tls"]}, {"policies": ["silver"]}, {"more": 1}])
def test_an_anchor_of_another_form_is_refused(whole: TrustBundle, seal: Holder, change: dict[str, Any]) -> None:
    first, second = json.loads(whole.payload())["anchors"]
    assert refusal(altered(whole, seal, anchors=[first | change, second])) == "trust.form"
    assert refusal(altered(whole, seal, anchors=[first, first])) == "trust.form"


def test_what_would_be_refused_is_not_signed(whole: TrustBundle, seal: Holder) -> None:
    for wrong in (replace(whole, anchors=()), replace(whole, next_update=NOW + 500 * DAY), replace(whole, name="A")):
        with pytest.raises(InvalidInput):
            sign_bundle(wrong, seal.key, seal.chain)


def test_size_has_a_limit(signed: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signer.trust.signed.MAX_BUNDLE_OCTETS", len(signed) - 1)
    assert refusal(signed) == "trust.limits"


@given(
    st.binary(max_size=60)
    | st.dictionaries(
        st.sampled_from(sorted(bundles._MEMBERS)), st.none() | st.text() | st.lists(st.integers(), max_size=3)
    ).map(compact_json)
)
def test_any_payload_is_read_or_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        parse_payload(data)


# Keeping


def kept(whole: TrustBundle, seal: Holder, **changes: Any) -> KeptBundle:
    return KeptBundle(signed=of(whole, seal, **changes), accepted=NOW)


def of(whole: TrustBundle, seal: Holder, **changes: Any) -> SignedBundle:
    return read_bundle(sign_bundle(replace(whole, **changes), seal.key, seal.chain), NOW + 60 * DAY)


def test_a_kept_bundle_is_read_back_and_a_changed_file_is_not(whole: TrustBundle, seal: Holder) -> None:
    held = kept(whole, seal)
    data = held.octets()
    assert is_kept(data)
    assert read_kept(data, NOW) == held
    members = json.loads(data)
    wrong: tuple[dict[str, Any], ...] = (
        {"signer": "cd" * 32},
        {"more": "1"},
        {"bundle": "{}"},
        {"accepted": "now"},
        {"signer": 1},
    )
    for change in wrong:
        with pytest.raises(ServiceError) as caught:
            read_kept(compact_json(members | change), NOW)
        assert caught.value.code is ErrorCode.TRUST_REFUSED


def test_a_later_bundle_takes_the_place_of_an_earlier_one_and_never_the_other_way(
    whole: TrustBundle, seal: Holder
) -> None:
    held = kept(whole, seal)
    later = held.followed_by(of(whole, seal, sequence=8, issued=NOW + DAY), NOW + DAY)
    assert (later.signed.bundle.sequence, later.accepted) == (8, NOW + DAY)
    assert held.followed_by(held.signed, NOW + DAY) is held
    refused: tuple[tuple[KeptBundle, dict[str, Any]], ...] = (
        (later, {}),
        (held, {"sequence": 6}),
        (held, {"arc": None}),
        (held, {"name": "another"}),
        (later, {"sequence": 9}),
    )
    for holds, change in refused:
        with pytest.raises(Conflict) as caught:
            holds.followed_by(of(whole, seal, **change), NOW)
        assert caught.value.code is ErrorCode.TRUST_ROLLBACK


def test_the_next_signer_is_whom_the_last_bundle_names(whole: TrustBundle, seal: Holder, path: TrustPath) -> None:
    heir = path.intermediate.issue("Next seal")
    named = of(whole, seal, signers=frozenset((heir.certificate.spki_sha256.hex(),)))
    assert of(whole, heir, sequence=8).by(named.next_signers).signer == heir.certificate
    with pytest.raises(InvalidInput):
        of(whole, seal, sequence=8).by(named.next_signers)
    alone = of(whole, seal, signers=frozenset())
    assert alone.by(alone.next_signers) is alone


def test_a_signature_of_a_weak_key_counts_no_more(signed: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = replace(AlgorithmPolicy(), ec_ends=((521, NOW - DAY),))
    monkeypatch.setattr("signer.trust.signed.AlgorithmPolicy", lambda: ended)
    assert refusal(signed) == "trust.signature"
