"""Lists are served from files that others replace, large ones a piece at a time; files never go back."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from ca.errors import CrlRegression
from ca.status.crl import PublishedCrl
from tests.support.pki import NOW, make_root
from webapp import served_lists
from webapp.deployment import Deployment
from webapp.freshness import crl_freshness
from webapp.list_upkeep import write_list
from webapp.served_lists import FileBody, ListFiles


def listed(number: int) -> bytes:
    return make_root().crl(number=number, this_update=NOW, next_update=NOW + timedelta(days=2))


def published(number: int) -> PublishedCrl:
    return PublishedCrl(
        issuer="persons",
        shard=0,
        number=number,
        this_update=NOW,
        next_update=NOW + timedelta(days=2),
        entries=0,
        der=listed(number),
    )


def test_a_list_is_judged_again_when_its_file_is_another_one(tmp_path: Path) -> None:
    files, path = ListFiles(), tmp_path / "0.crl"
    assert files(path) is None
    for number in (1, 2):
        data = listed(number)
        (tmp_path / "part").write_bytes(data)
        (tmp_path / "part").replace(path)
        served = files(path)
        assert served is not None
        assert (served.body, served.freshness) == (data, crl_freshness(data))


def test_a_large_list_is_read_piece_by_piece_and_stays_what_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served_lists, "SMALL", 10)
    monkeypatch.setattr(served_lists, "_PIECE", 16)
    path, data = tmp_path / "0.crl", listed(1)
    path.write_bytes(data)
    served = ListFiles()(path)
    assert served is not None
    assert isinstance(served.body, FileBody)
    path.unlink()
    pieces = list(served.body)
    assert (b"".join(pieces), len(served.body), max(map(len, pieces))) == (data, len(data), 16)
    served.body.close()


def test_an_empty_file_is_served_and_kept_by_nobody(tmp_path: Path) -> None:
    (tmp_path / "0.crl").touch()
    served = ListFiles()(tmp_path / "0.crl")
    assert served is not None
    assert served.freshness.headers(NOW) == [("Cache-Control", "no-store")]


def test_a_file_is_replaced_by_higher_numbers_alone(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    write_list(deployment, published(5), lambda: 5)
    write_list(deployment, replace(published(7), delta=replace(published(7), base=5)), lambda: 7)
    path, delta = deployment.crl_file("persons", 0), deployment.delta_file("persons", 0)
    seven = path.read_bytes()
    assert delta.exists()
    write_list(deployment, published(6), lambda: 7)  # a slower program's turn
    assert path.read_bytes() == seven
    with pytest.raises(CrlRegression, match="number 7"):  # a register that went back
        write_list(deployment, published(6), lambda: 6)
    assert path.read_bytes() == seven


def test_a_list_without_a_delta_takes_the_older_delta_away_and_no_newer_one(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    delta = deployment.delta_file("persons", 0)
    write_list(deployment, replace(published(5), delta=replace(published(5), base=4)), lambda: 5)
    write_list(deployment, replace(published(6), base=4), lambda: 6)
    write_list(deployment, published(5), lambda: 6)  # read before delta 6 was recorded
    assert delta.exists()
    write_list(deployment, published(7), lambda: 7)
    assert not delta.exists()


def test_a_file_that_holds_no_list_is_replaced(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    path = deployment.crl_file("persons", 0)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half a list")
    crl = published(1)
    write_list(deployment, crl, lambda: 1)
    assert path.read_bytes() == crl.der
