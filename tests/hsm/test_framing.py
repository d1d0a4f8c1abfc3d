import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.errors import ProtocolViolation
from hsm.framing import FrameReader, frame

LIMIT = 64


@given(payloads=st.lists(st.binary(max_size=LIMIT), max_size=10), data=st.data())
def test_frames_come_out_as_they_went_in_however_the_stream_is_cut(payloads: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(frame(payload, LIMIT) for payload in payloads)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    reader = FrameReader(LIMIT)
    found = []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found.extend(reader.feed(stream[begin:end]))
    assert found == payloads
    assert reader.size == 0


def test_a_frame_above_the_limit_is_neither_written_nor_read() -> None:
    with pytest.raises(ProtocolViolation):
        frame(bytes(LIMIT + 1), LIMIT)
    for whole in (True, False):
        data = frame(bytes(LIMIT + 1), LIMIT + 1)
        with pytest.raises(ProtocolViolation):
            FrameReader(LIMIT).feed(data if whole else data[:4])


def test_a_frame_of_the_limit_is_read_in_one_piece() -> None:
    assert FrameReader(LIMIT).feed(frame(bytes(LIMIT), LIMIT)) == [bytes(LIMIT)]


@given(data=st.binary(max_size=300))
def test_any_stream_is_cut_or_refused(data: bytes) -> None:
    reader = FrameReader(LIMIT)
    try:
        frames = reader.feed(data)
    except ProtocolViolation:
        return
    assert b"".join(frame(item, LIMIT) for item in frames) == data[: len(data) - reader.size]
    assert reader.size < LIMIT + 4
