"""Random changes of good requests over the socket: no crash, and no signature that the rules alone would refuse."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hsm.custodian.protocol import Operation, Status, decode_request, pack_items, unpack_items
from hsm.custodian.purposes import SigningRule, check_digest, check_message
from hsm.errors import ProtocolViolation, PurposeRefused
from hsm.provider import KeyPurpose, spki_of
from pki import der, oids
from pki.errors import ErrorCode
from pki.keys import SignatureAlgorithm, verify_signature
from pki.signatures import load_public_key
from tests.hsm import good_messages as good
from tests.hsm import messages as m
from tests.hsm.test_mutated_messages import Mutation, mutations
from tests.hsm.wrong_requests.judged import CA, LIMITS, OCSP, PURPOSES, SEAL, TOKEN, TSA, Judged, Peer, now
from tests.hsm.wrong_requests.test_messages import certificate, crl, token

pytestmark = pytest.mark.real

LABELS = (CA, OCSP, TSA, TOKEN, SEAL)
KINDS = ("certificate", "crl", "ocsp", "stamp", "token", "note", "data")
OPERATIONS = (Operation.SIGN, Operation.SIGN_BATCH, Operation.SIGN_CONTENT, Operation.SIGN_DIGESTS)
numbers = itertools.count(1000)
changes = st.lists(mutations, max_size=3)


def good_items(judged: Judged, kind: str, at: datetime) -> tuple[bytes, ...]:
    """Return a message that the right key signs now; for a time-stamp with its content."""
    stamp = good.stamp(generated=at)
    # Each list is of a scope of its own: one whose number a change made high would forbid all that follow it.
    of_its_own = m.extension(oids.CRL_NUMBER, der.integer(7)), m.point(b"http://a.example/%d" % next(numbers))
    single = good.single(spki=judged.ca_spki, this=at, following=at + timedelta(days=1))
    made = {
        "certificate": (certificate(at),),
        "crl": (crl(at, extensions=of_its_own),),
        "ocsp": (good.response(single, produced=at),),
        "stamp": (m.stamp_attributes(stamp), stamp),
        "token": (token(at),),
        "note": (m.NOTE,),
        "data": (m.signed_attributes(oids.CMS_DATA),),
    }
    return made[kind]


@pytest.fixture(scope="module")
def rules(besieged: Judged) -> dict[str, SigningRule]:
    return {
        label: SigningRule(
            purpose=PURPOSES[label],
            algorithm=SignatureAlgorithm.ES256,
            spki_der=spki_of(besieged.home.client.signing_key(label).public_key()),
            issuer_der=m.ISSUER if label in (CA, OCSP) else None,
            issuer_spki_der=besieged.ca_spki if label == OCSP else None,
        )
        for label in LABELS
    }


def exchange(judged: Judged, payload: bytes) -> bytes:
    peer = Peer(judged.home.socket_path())
    try:
        peer.send(len(payload).to_bytes(4, "big") + payload)
        (answer,) = peer.frames(1)
        return answer
    finally:
        peer.close()


def may_sign(rule: SigningRule, message: bytes, content: bytes | None) -> bool:
    """Judge as the custodian must, a moment ago or now."""
    for seconds in (0, 1, 2):
        try:
            check_message(rule, message, limits=LIMITS, now=now() - timedelta(seconds=seconds), content=content)
        except PurposeRefused:
            continue
        return True
    return False


def check_answer(judged: Judged, rules: dict[str, SigningRule], payload: bytes) -> None:
    """Send a request; what is signed must be what the rules let be signed, and nothing may go wrong inside."""
    answer = exchange(judged, payload)
    assert judged.home.process.running
    assert answer[0] != Status.INTERNAL
    try:
        request = decode_request(payload)
    except ProtocolViolation:
        assert answer[1:].startswith(ErrorCode.HSM_PROTOCOL.encode())
        return
    if answer[0] != Status.DONE or request.operation not in OPERATIONS:
        return
    rule, body = rules[request.label], answer[1:]
    public_key = load_public_key(rule.spki_der)
    match request.operation:
        case Operation.SIGN:
            signed, content = [(request.body, body)], None
        case Operation.SIGN_CONTENT:
            attributes, content = unpack_items(request.body)
            signed = [(attributes, body)]
        case _:
            signed, content = list(zip(unpack_items(request.body), unpack_items(body), strict=True)), None
    for message, signature in signed:
        if request.operation is Operation.SIGN_DIGESTS:
            check_digest(rule, message)
            assert rule.purpose in (KeyPurpose.TOKEN, KeyPurpose.SEAL)
            continue
        assert may_sign(rule, message, content), (request.label, message.hex())
        verify_signature(public_key, signature, message)


RIGHT = {"certificate": CA, "crl": CA, "ocsp": OCSP, "stamp": TSA, "token": TOKEN, "note": SEAL, "data": SEAL}


@pytest.mark.parametrize("kind", KINDS)
def test_the_good_requests_are_signed(besieged: Judged, rules: dict[str, SigningRule], kind: str) -> None:
    items = good_items(besieged, kind, now())
    operation = Operation.SIGN if len(items) == 1 else Operation.SIGN_CONTENT
    body = items[0] if len(items) == 1 else pack_items(items)
    payload = bytes((1, operation, len(RIGHT[kind]))) + RIGHT[kind].encode() + body
    assert exchange(besieged, payload)[0] == Status.DONE
    check_answer(besieged, rules, payload)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(KINDS),
    label=st.none() | st.sampled_from(LABELS),
    batch=st.booleans(),
    changed=changes,
    content_changed=st.just([]) | changes,
)
def test_a_property_of_changed_messages_is_that_no_signature_breaks_a_rule(
    besieged: Judged,
    rules: dict[str, SigningRule],
    kind: str,
    label: str | None,
    batch: bool,
    changed: list[Mutation],
    content_changed: list[Mutation],
) -> None:
    message, *content = good_items(besieged, kind, now())
    for change in changed:
        message = change(message)
    for change in content_changed:
        content = [change(part) for part in content]
    name = (label or RIGHT[kind]).encode()
    if content:
        operation, body = Operation.SIGN_CONTENT, pack_items([message, *content])
    elif batch:
        operation, body = Operation.SIGN_BATCH, pack_items([message] * 3)
    else:
        operation, body = Operation.SIGN, message
    check_answer(besieged, rules, bytes((1, operation, len(name))) + name + body)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(KINDS),
    operation=st.sampled_from(OPERATIONS),
    changed=st.lists(mutations, min_size=1, max_size=3),
)
def test_a_property_of_changed_frames_is_that_no_signature_breaks_a_rule(
    besieged: Judged, rules: dict[str, SigningRule], kind: str, operation: Operation, changed: list[Mutation]
) -> None:
    items = good_items(besieged, kind, now())
    body = items[0] if operation is Operation.SIGN else pack_items(items)
    payload = bytes((1, operation, len(RIGHT[kind]))) + RIGHT[kind].encode() + body
    for change in changed:
        payload = change(payload)
    check_answer(besieged, rules, payload)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(octets=st.binary(max_size=2000))
def test_a_property_of_random_octets_is_that_nothing_goes_wrong(
    besieged: Judged, rules: dict[str, SigningRule], octets: bytes
) -> None:
    check_answer(besieged, rules, octets)
    for operation in Operation:
        check_answer(besieged, rules, bytes((1, operation, 4)) + b"seal" + octets)
