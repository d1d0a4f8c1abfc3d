from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from tests.support.ocsp_forge import ocsp_answer
from tests.support.pki import NOW, make_root
from webapp.freshness import SETTLED_SECONDS, Freshness, crl_freshness, etag_of, ocsp_freshness
from webapp.status_settings import MAX_AGE_SECONDS


def test_times_of_an_ocsp_response_are_read() -> None:
    root = make_root()
    found = ocsp_freshness(
        ocsp_answer(
            root, root.issue(), responder=root.ocsp_responder(), this_update=NOW, next_update=NOW + timedelta(hours=1)
        )
    )
    assert found.this_update == int(NOW.timestamp())
    assert found.next_update == int(NOW.timestamp()) + 3600


def test_a_response_without_next_update_is_not_kept() -> None:
    root = make_root()
    found = ocsp_freshness(ocsp_answer(root, root.issue(), responder=root.ocsp_responder(), next_update=None))
    assert found.headers(NOW) == [("Cache-Control", "no-store")]


def test_times_of_a_crl_are_read() -> None:
    found = crl_freshness(make_root().crl(this_update=NOW, next_update=NOW + timedelta(days=7)))
    assert found.next_update == int(NOW.timestamp()) + 7 * 86400


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_have_a_freshness(data: bytes) -> None:
    for found in (ocsp_freshness(data), crl_freshness(data)):
        assert found.etag == etag_of(data)
        found.headers(NOW)


@given(st.integers(-10_000, 10_000), st.integers(0, 999_999))
def test_nothing_is_kept_beyond_its_end_nor_longer_than_a_minute(left: int, begun: int) -> None:
    now, asked = int(NOW.timestamp()), NOW + timedelta(microseconds=begun)
    headers = dict(Freshness(etag='"x"', this_update=now - 1, next_update=now + left).headers(asked))
    if left <= (begun > 0):
        assert headers == {"Cache-Control": "no-store"}
    else:
        age = int(headers["Cache-Control"].rpartition("=")[2])
        assert 0 < age <= min(left - (begun > 0), MAX_AGE_SECONDS)


def test_a_date_is_given_only_once_no_other_answer_can_bear_it() -> None:
    freshness = Freshness(etag='"x"', this_update=int(NOW.timestamp()), next_update=int(NOW.timestamp()) + 100)
    for seconds, dated in ((0, False), (1, False), (SETTLED_SECONDS, True)):
        headers = dict(freshness.headers(NOW + timedelta(seconds=seconds)))
        assert ("Last-Modified" in headers) == dated
        assert headers["ETag"] == '"x"'
