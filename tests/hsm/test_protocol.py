import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.custodian.protocol import (
    MAX_ANSWER_OCTETS,
    MAX_FRAME_OCTETS,
    MAX_ITEMS,
    Operation,
    decode_answer,
    decode_request,
    encode_error,
    encode_request,
    encode_result,
    encode_sealed_request,
    pack_items,
    unpack_items,
)
from hsm.errors import (
    HsmUnavailable,
    KeyAbsent,
    KeyMismatch,
    KeyNotFound,
    ProtocolViolation,
    PurposeRefused,
    RateExceeded,
)
from hsm.framing import FrameReader, frame
from pki.errors import Conflict, ErrorCode, InvalidInput, NotAllowed, NotFound, ServiceError, Unavailable

LABELS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=64)


def _payload(octets: bytes) -> bytes:
    (payload,) = FrameReader(MAX_ANSWER_OCTETS).feed(octets)
    return payload


@given(operation=st.sampled_from(Operation), label=LABELS, body=st.binary())
def test_a_request_reads_back_as_it_was_written(operation: Operation, label: str, body: bytes) -> None:
    assert decode_request(_payload(encode_request(operation, label, body))) == (operation, label, body, False)


@given(operation=st.sampled_from(Operation), label=LABELS)
def test_a_request_says_that_its_body_travels_beside_it(operation: Operation, label: str) -> None:
    assert decode_request(_payload(encode_sealed_request(operation, label))) == (operation, label, b"", True)


def test_a_body_is_in_one_place() -> None:
    sealed = _payload(encode_sealed_request(Operation.SIGN, "ca"))
    with pytest.raises(ProtocolViolation):
        decode_request(sealed + b"x")


@given(payload=st.binary() | st.binary().map(lambda rest: b"\x01\x04" + rest))
def test_reading_a_request_never_raises_anything_but_a_violation(payload: bytes) -> None:
    try:
        decode_request(payload)
    except ProtocolViolation as error:
        assert error.code is ErrorCode.HSM_PROTOCOL


@given(bodies=st.lists(st.binary(max_size=50), max_size=5), cuts=st.lists(st.integers(0, 300), max_size=6))
def test_frames_are_found_whatever_pieces_they_arrive_in(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(encode_result(body) for body in bodies)
    reader, found, start = FrameReader(MAX_ANSWER_OCTETS), [], 0
    for end in [*sorted(min(cut, len(stream)) for cut in cuts), len(stream)]:
        found += reader.feed(stream[start:end])
        start = end
    assert [decode_answer(payload) for payload in found] == bodies
    assert reader.size == 0


def test_an_announced_size_beyond_the_limit_is_refused_before_it_arrives() -> None:
    with pytest.raises(ProtocolViolation):
        FrameReader(MAX_FRAME_OCTETS).feed((MAX_FRAME_OCTETS + 1).to_bytes(4, "big"))


def test_a_message_beyond_the_limit_is_not_sent() -> None:
    with pytest.raises(ProtocolViolation):
        encode_request(Operation.SIGN, "ca", bytes(MAX_FRAME_OCTETS))


@pytest.mark.parametrize(
    "error",
    [
        HsmUnavailable("the device is away"),
        KeyNotFound("no key"),
        PurposeRefused("not a certificate"),
        KeyMismatch("another key"),
        KeyAbsent("no key there"),
        RateExceeded("too often"),
        Unavailable(ErrorCode.UNAVAILABLE, "x"),
        InvalidInput(ErrorCode.DER_MALFORMED, "truncated"),
        NotAllowed(ErrorCode.FOUR_EYES, ""),
        NotFound(ErrorCode.NOT_FOUND, "line\nbreak"),
        Conflict(ErrorCode.CONFLICT, "کلید"),
        ServiceError(ErrorCode.INTERNAL),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_crosses_with_class_code_and_detail(error: ServiceError) -> None:
    with pytest.raises(type(error)) as raised:
        decode_answer(_payload(encode_error(error)))
    assert type(raised.value) is type(error)
    assert (raised.value.code, raised.value.detail, raised.value.retryable) == (
        error.code,
        error.detail,
        error.retryable,
    )


@given(payload=st.binary(max_size=60))
def test_reading_an_answer_never_raises_anything_but_service_errors(payload: bytes) -> None:
    try:
        decode_answer(payload)
    except ServiceError:
        return


def test_the_largest_batch_of_answers_fits() -> None:
    encode_result(pack_items([bytes(512)] * MAX_ITEMS))
    with pytest.raises(ProtocolViolation):
        frame(bytes(MAX_ANSWER_OCTETS + 1), MAX_ANSWER_OCTETS)


@given(items=st.lists(st.binary(max_size=40), max_size=10))
def test_items_read_back_as_they_were_written(items: list[bytes]) -> None:
    assert unpack_items(pack_items(items)) == tuple(items)


@given(body=st.binary(max_size=60))
def test_reading_items_never_raises_anything_but_a_violation(body: bytes) -> None:
    try:
        items = unpack_items(body)
    except ProtocolViolation:
        return
    assert pack_items(items) == body


def test_too_many_items_are_refused() -> None:
    with pytest.raises(ProtocolViolation):
        unpack_items(pack_items([b""] * (MAX_ITEMS + 1)))
