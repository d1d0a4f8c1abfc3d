"""Memory that strangers' files fill has an end."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki import certificates, names
from pki.certificates import Certificate
from pki.errors import ErrorCode, ServiceError, Unavailable
from signer.http_exchange import HttpReply
from signer.validation import path as paths
from signer.validation import status_online
from signer.validation.remembered import Remembered
from signer.validation.status_local import LocalStatus
from signer.validation.status_online import SILENCE_SECONDS, OnlineStatus
from tests.support.pki import NOW
from tests.support.zoo import Zoo


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 40)), max_size=40))
def test_never_more_is_remembered_than_allowed_and_the_last_is(steps: list[tuple[int, int]]) -> None:
    memory: Remembered[int, int] = Remembered(entries=4, octets=60)
    sizes: dict[int, int] = {}
    for key, size in steps:
        memory.keep(key, size, size)
        sizes[key] = size
        held = [one for one in sizes if memory.get(one) is not None]
        assert memory.get(key) == size
        assert len(held) == len(memory) <= 4
        assert len(held) == 1 or sum(sizes[one] for one in held) <= 60


def test_local_lists_are_forgotten_when_there_are_too_many(
    tmp_path: Path, zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signer.validation.status_local.MAX_REMEMBERED", 1000)
    (tmp_path / "ca").mkdir()
    for number in range(9):
        (tmp_path / "ca" / f"{number}.crl").write_bytes(zoo.intermediate.crl(number=number + 1))
    status = LocalStatus(folder=tmp_path)
    assert len(list(status.answers(zoo.clinician.certificate, zoo.intermediate.certificate, NOW))) == 9
    assert len(status._read_before) < 6


def test_large_certificates_and_names_take_no_place(zoo: Zoo) -> None:
    large = zoo.intermediate.issue("x" * 60, policies=[f"1.3.6.1.4.1.32473.{n}" for n in range(900)]).certificate
    assert len(large.der) > 8192
    before = certificates._parse_cached.cache_info().currsize, paths._is_known_signed.cache_info().currsize
    assert Certificate.parse(large.der) == large
    larger = Certificate.parse(large.der)
    assert paths.is_signed_by(larger, zoo.intermediate.certificate)
    assert paths.is_signed_by(larger, large) is False
    after = certificates._parse_cached.cache_info().currsize, paths._is_known_signed.cache_info().currsize
    assert after[0] == before[0]
    long_name = b"\x30\x82\x08\x00" + b"\x31\x00" * 1024
    held = names._remembered_key.cache_info().currsize
    assert len(names.name_key(long_name)) == 1024
    assert names._remembered_key.cache_info().currsize == held


def test_who_did_not_answer_is_asked_again_a_minute_later(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    now = [time.monotonic()]

    def exchange(url: str, **_: object) -> HttpReply:
        asked.append(url)
        if len(asked) == 1:
            raise Unavailable(ErrorCode.UNAVAILABLE)
        return HttpReply(status=200, content_type="", body=b"list")

    monkeypatch.setattr(status_online, "exchange", exchange)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    online = OnlineStatus()
    for _ in range(2):
        with pytest.raises(ServiceError):
            online.renewed()._fetch("http://a.example/crl", 99, None)
    assert len(asked) == 1
    now[0] += SILENCE_SECONDS + 1
    assert [online._fetch("http://a.example/crl", 99, None) for _ in range(3)] == [b"list"] * 3
    assert len(asked) == 2
