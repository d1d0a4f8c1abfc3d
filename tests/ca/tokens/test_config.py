"""Settings of connection tokens."""

from datetime import timedelta

import pytest

from ca.tokens.config import TokenSettings
from pki.errors import InvalidInput


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "mohr.example"},
        {"issuer": "ftp://mohr.example"},
        {"issuer": "https://mohr.example/"},
        {"issuer": "https://mohr.example?x=1"},
        {"issuer": "https://مهر.example"},
        {"exchange_url": "https://"},
        {"assertion_life": timedelta(seconds=301)},
        {"access_life": timedelta()},
        {"access_life": timedelta(hours=2)},
        {"burst": 0},
    ],
    ids=str,
)
def test_settings_out_of_measure_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        TokenSettings(**{"issuer": "https://mohr.example", **change})  # type: ignore[arg-type]  # each case is wrong on purpose
