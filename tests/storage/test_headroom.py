from __future__ import annotations

from pathlib import Path

import pytest

from pki.errors import ErrorCode, Unavailable
from storage.headroom import MEGABYTE, Headroom, free_octets

DATABASE, JOURNAL = Path("/data"), Path("/journal")


def headroom(free: dict[Path, int]) -> Headroom:
    return Headroom((DATABASE, JOURNAL), 200, free=lambda place: free[place] * MEGABYTE)


def test_enough_room_everywhere_is_no_obstacle() -> None:
    headroom({DATABASE: 200, JOURNAL: 5000}).check()


@pytest.mark.parametrize("low", [DATABASE, JOURNAL])
def test_too_little_room_in_one_place_is_said_with_its_name(low: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        headroom({DATABASE: 5000, JOURNAL: 5000} | {low: 199}).check()
    assert caught.value.code is ErrorCode.STORAGE_LOW
    assert low.name in caught.value.detail
    assert "199 MB" in caught.value.detail


def test_a_disk_that_cannot_be_asked_is_no_room() -> None:
    def broken(_place: Path) -> int:
        raise OSError(5, "Input/output error")

    with pytest.raises(Unavailable) as caught:
        Headroom((DATABASE,), 1, free=broken).check()
    assert caught.value.code is ErrorCode.STORAGE_LOW


def test_a_place_that_is_not_there_yet_is_where_it_would_be(tmp_path: Path) -> None:
    assert free_octets(tmp_path / "a" / "b") == pytest.approx(free_octets(tmp_path), rel=0.01)
