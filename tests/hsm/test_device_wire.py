"""Calls cut into parts, and what link and device process say to each other."""

from collections.abc import Sequence
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.device.calls import PART_OCTETS, parts_of
from hsm.device.wire import (
    encode_failure,
    encode_generated,
    encode_sign,
    encode_values,
    read_failure,
    read_generated,
    read_inputs,
    read_key,
    read_members,
    read_values,
)
from hsm.errors import (
    ConfigurationInvalid,
    DeviceLost,
    HsmUnavailable,
    KeyAbsent,
    KeyMismatch,
    MechanismRefused,
    PinIncorrect,
    ProtocolViolation,
    SessionLost,
)
from pki.keys import SignatureAlgorithm

ES256 = SignatureAlgorithm.ES256
INPUTS = st.lists(st.binary(max_size=100), max_size=80)


@given(inputs=INPUTS, most=st.integers(1, 40))
def test_parts_put_together_are_the_whole(inputs: list[bytes], most: int) -> None:
    parts = list(parts_of(inputs, most))
    assert [item for part in parts for item in part] == inputs
    assert all(len(part) <= most for part in parts)
    assert len(parts) == max(1, -(-len(inputs) // most))


def test_parts_fit_a_frame() -> None:
    inputs = [bytes(PART_OCTETS // 2)] * 5
    assert [len(part) for part in parts_of(inputs, 32)] == [2, 2, 1]


@given(reference=st.binary(max_size=255), algorithm=st.sampled_from(SignatureAlgorithm), inputs=INPUTS)
def test_a_signing_request_reads_back(reference: bytes, algorithm: SignatureAlgorithm, inputs: Sequence[bytes]) -> None:
    request = encode_sign(reference, algorithm, inputs)
    found_reference, found_algorithm, offset = read_key(request)
    assert (found_reference, found_algorithm) == (reference, algorithm)
    assert read_inputs(request, offset) == list(inputs)


def test_a_reference_that_is_too_long_is_refused() -> None:
    with pytest.raises(ProtocolViolation):
        encode_sign(bytes(256), ES256, [])


@given(values=st.integers(1, 100).flatmap(lambda size: st.lists(st.binary(min_size=size, max_size=size), max_size=40)))
def test_values_read_back(values: list[bytes]) -> None:
    assert read_values(encode_values(values), len(values)) == values


@given(reference=st.binary(min_size=1, max_size=255), spki=st.binary(min_size=1, max_size=600))
def test_a_new_key_reads_back(reference: bytes, spki: bytes) -> None:
    assert read_generated(encode_generated(reference, spki)) == (reference, spki)


@pytest.mark.parametrize(
    "kind",
    [
        KeyAbsent,
        DeviceLost,
        SessionLost,
        KeyMismatch,
        MechanismRefused,
        PinIncorrect,
        ConfigurationInvalid,
        HsmUnavailable,
    ],
)
def test_an_error_keeps_its_kind_and_its_words(kind: type[HsmUnavailable]) -> None:
    found = read_failure(encode_failure(kind("مهر")))
    assert (type(found), found.detail) == (kind, "مهر")


@given(answer=st.binary(max_size=40), count=st.integers(0, 5))
def test_any_answer_is_read_or_refused(answer: bytes, count: int) -> None:
    for read in (read_failure, read_generated, read_members, partial(read_values, count=count)):
        try:
            read(answer)
        except ProtocolViolation:
            continue
