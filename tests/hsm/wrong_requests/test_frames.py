"""Frames and wishes that are malformed: each gets its code and an entry, and the next peer is served."""

import pytest

from hsm.custodian.protocol import MAX_FRAME_OCTETS, Operation, encode_request, pack_items
from hsm.provider import KeyPurpose
from pki.errors import ErrorCode
from pki.keys import SignatureAlgorithm
from tests.hsm import messages as m
from tests.hsm.wrong_requests.conftest import Dial
from tests.hsm.wrong_requests.judged import CA, SEAL, TOKEN, TSA, Judged

pytestmark = pytest.mark.real

PROTOCOL, MALFORMED = ErrorCode.HSM_PROTOCOL, ErrorCode.INPUT_MALFORMED


def framed(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "big") + payload


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(framed(b""), id="empty"),
        pytest.param(framed(b"\x01"), id="one octet"),
        pytest.param(framed(b"\x01\x04"), id="no label"),
        pytest.param(framed(b"\x01\x04\x05seal"), id="label longer than its frame"),
        pytest.param(framed(b"\x01\x04\x41" + b"a" * 65), id="label of 65 octets"),
        pytest.param(framed(b"\x01\x04\x02\xd9\x85"), id="label not ASCII"),
        pytest.param((MAX_FRAME_OCTETS + 1).to_bytes(4, "big"), id="frame beyond the limit"),
        pytest.param(b"\xff" * 64, id="length of all ones"),
        pytest.param(b"POST /sign HTTP/1.1\r\nHost: hsm\r\n\r\n", id="HTTP"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS"),
    ],
)
def test_what_is_no_request_is_refused_and_the_connection_closed(judged: Judged, dial: Dial, octets: bytes) -> None:
    peer = dial(judged)
    with judged.refusing(PROTOCOL, act="frame"):
        peer.send(octets)
        peer.answer()
    assert peer.closed()


@pytest.mark.parametrize("version", [0, 2, 255])
def test_an_unknown_version_is_refused(judged: Judged, dial: Dial, version: int) -> None:
    with judged.refusing(PROTOCOL, act="frame"):
        (peer := dial(judged)).send(framed(bytes((version, 4, 4)) + b"seal" + m.NOTE))
        peer.answer()


@pytest.mark.parametrize("number", sorted(set(range(128)) - {operation.value for operation in Operation}))
def test_an_unknown_operation_is_refused(besieged: Judged, dial: Dial, number: int) -> None:
    peer = dial(besieged)
    peer.send(framed(bytes((1, number, 4)) + b"seal" + m.NOTE))
    assert b"hsm-protocol" in peer.frames(1)[0]
    assert peer.closed()


HOSTILE_LABELS = [
    "../../etc/passwd",
    "/dev/zero",
    "..",
    ".",
    "ca*",
    "*",
    "CA",
    "ca%00",
    "seal;object=ca",
    "a" * 64,
    "'",
]


@pytest.mark.parametrize("label", HOSTILE_LABELS)
def test_a_label_is_compared_whole_and_names_no_path(judged: Judged, label: str) -> None:
    with judged.refusing(ErrorCode.HSM_KEY_NOT_FOUND, act="sign", key=label):
        judged.home.client.sign(label, m.NOTE)


@pytest.mark.parametrize("label", ["", "two words", "tab\t", "nul\0", "line\nfeed", "\x7f", "seal\0", " seal"])
def test_a_label_that_is_none_finds_no_key_and_makes_none(judged: Judged, label: str) -> None:
    with judged.refusing(ErrorCode.HSM_KEY_NOT_FOUND, act="sign"):
        judged.home.client.sign(label, m.NOTE)
    with judged.refusing(MALFORMED, act="generate"):
        judged.home.client.generate(label, SignatureAlgorithm.ES256, KeyPurpose.SEAL)


WISHES = [
    b"",
    b"{",
    b"[]",
    b"{}",
    b"null",
    b'{"algorithm":"ES256"}',
    b'{"algorithm":"ES256","purpose":"seal","purpose":"root"}',
    b'{"algorithm":["ES256"],"purpose":{}}',
    b'{"algorithm":"none","purpose":"seal"}',
    b'{"algorithm":"ES256","purpose":"everything"}',
    b'{"algorithm":"RS256","purpose":"seal","rsa_bits":1024}',
    b'{"algorithm":"RS256","purpose":"seal","rsa_bits":3072.0}',
    b'{"algorithm":"RS256","purpose":"seal","rsa_bits":"3072"}',
    b'{"algorithm":"RS256","purpose":"seal","rsa_bits":[3072]}',
    b'{"algorithm":"RS256","purpose":"seal","rsa_bits":{}}',
    b'{"algorithm":"ES256","purpose":"seal","rsa_bits":null}',
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b'{"algorithm":' + b"9" * 10_000 + b"}",
    b"\xff\xfe{}",
]


@pytest.mark.parametrize("wish", WISHES, ids=lambda wish: repr(wish[:60]))
@pytest.mark.parametrize("operation", [Operation.GENERATE, Operation.ADOPT])
def test_a_wish_that_is_malformed_makes_no_key(judged: Judged, dial: Dial, operation: Operation, wish: bytes) -> None:
    peer, keys, before = dial(judged), judged.home.client.keys(), judged.head()
    peer.send(encode_request(operation, "new", wish))
    answer = peer.frames(1)[0]
    code = ErrorCode(answer[1:].split(b"\n")[0].decode())
    assert code in (ErrorCode.JSON_MALFORMED, MALFORMED), answer
    judged.see_refusals(before, code, act=operation.name.lower(), key="new", role="operator")
    assert judged.home.client.keys() == keys


@pytest.mark.parametrize("reference", [b"5", b'""', b'"zz"', b'"' + b"00" * 256 + b'"', b"null", b"[]"])
def test_a_reference_that_is_none_is_not_adopted(judged: Judged, dial: Dial, reference: bytes) -> None:
    wish = b'{"algorithm":"ES256","purpose":"seal","reference":%s}' % reference
    peer = dial(judged)
    with judged.refusing(MALFORMED, act="adopt", key="new"):
        peer.send(encode_request(Operation.ADOPT, "new", wish))
        peer.answer()


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"after":0}',
        b'{"after":-1,"limit":5}',
        b'{"after":0.0,"limit":1}',
        b'{"after":true,"limit":true}',
        b'{"after":"0","limit":"1"}',
        b'{"after":null,"limit":[]}',
    ],
)
def test_a_part_of_the_journal_is_asked_for_by_numbers(judged: Judged, dial: Dial, body: bytes) -> None:
    peer = dial(judged)
    with judged.refusing(MALFORMED, act="journal"):
        peer.send(encode_request(Operation.JOURNAL, "", body))
        peer.answer()


@pytest.mark.parametrize("body", [b'{"through":99999999999}', b'{"through":-1}', b'{"through":1.5}', b"{}"])
def test_what_the_journal_does_not_have_is_not_released(judged: Judged, dial: Dial, body: bytes) -> None:
    peer = dial(judged)
    with judged.refusing(MALFORMED, act="journal-release"):
        peer.send(encode_request(Operation.JOURNAL_RELEASE, "", body))
        peer.answer()


@pytest.mark.parametrize("operation", [Operation.SIGN_BATCH, Operation.SIGN_DIGESTS])
@pytest.mark.parametrize(
    "body",
    [b"", b"\x00", b"\x00\x00\x00\x05abc", b"\xff\xff\xff\xff", pack_items([b""] * 4097)],
    ids=["empty", "truncated length", "truncated item", "length of all ones", "too many"],
)
def test_a_batch_that_is_malformed_is_refused(judged: Judged, dial: Dial, operation: Operation, body: bytes) -> None:
    act = "sign" if operation is Operation.SIGN_BATCH else "digest"
    peer = dial(judged)
    with judged.refusing(PROTOCOL, act=act, key=TOKEN):
        peer.send(encode_request(operation, TOKEN, body))
        peer.answer()
    assert peer.closed()


@pytest.mark.parametrize("items", [[], [b""], [b""] * 3, [m.NOTE] * 5], ids=["none", "one", "three", "five"])
def test_attributes_come_with_one_content(judged: Judged, dial: Dial, items: list[bytes]) -> None:
    peer = dial(judged)
    with judged.refusing(PROTOCOL, act="timestamp", key=TSA):
        peer.send(encode_request(Operation.SIGN_CONTENT, TSA, pack_items(items)))
        peer.answer()


@pytest.mark.parametrize("name", [b"", b"\x30", b"\x05\x00", b"\x30\x02\x05\x00", bytes(5000), m.NOTE])
def test_a_key_is_bound_to_a_name_and_to_nothing_else(judged: Judged, dial: Dial, name: bytes) -> None:
    peer, before = dial(judged), judged.head()
    peer.send(encode_request(Operation.SET_ISSUER, CA, name))
    code = ErrorCode(peer.frames(1)[0][1:].split(b"\n")[0].decode())
    assert code is not ErrorCode.INTERNAL
    judged.see_refusals(before, code, act="bind", key=CA, role="operator")


def test_a_bound_key_is_not_bound_again(judged: Judged) -> None:
    with judged.refusing(ErrorCode.CONFLICT, act="bind", key=CA):
        judged.home.client.set_issuer(CA, m.name("Other CA"))
    with judged.refusing(MALFORMED, act="bind", key=SEAL):
        judged.home.client.set_issuer(SEAL, m.ISSUER)
