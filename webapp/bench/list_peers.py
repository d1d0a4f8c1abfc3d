"""`crl.django_ca`: one full list by django-ca and by `openssl ca`, of as many revoked certificates."""

import tempfile
from pathlib import Path
from typing import Final

from hsm.soft import UnsafeSoftKey
from pki.keys import SignatureAlgorithm
from webapp.bench.django_ca import DjangoCa, find_interpreter
from webapp.bench.measure import Figure, median_ms
from webapp.bench.openssl_peer import OpensslCa

ENTRIES: Final = 20_000
LONG_ENTRIES: Final = 100_000  # nearly a minute: its library copies the list of entries for each one that it adds


def list_peer_figures(*, long: bool) -> tuple[Figure, ...]:
    """Measure both; none where django-ca is not installed."""
    python, entries = find_interpreter(), LONG_ENTRIES if long else ENTRIES
    if python is None:
        return ()
    with tempfile.TemporaryDirectory(prefix="mohr-lists-") as folder:
        openssl = OpensslCa.make(Path(folder) / "openssl").full_list(entries)
        django = DjangoCa.make(Path(folder) / "django", python)
        django.issue(1)
        made = django.full_list(entries)
    key, octets = UnsafeSoftKey.generate(SignatureAlgorithm.ES256), bytes(made.octets)
    figure = Figure(
        name="crl.django_ca",
        value=made.seconds,
        unit="s",
        peer="openssl ca -gencrl from its index, a process from its start to its end",
        peer_value=openssl,
        floor="one P-256 signature over as many octets in memory, s",
        floor_value=round(median_ms(lambda: key.sign(octets), runs=20) / 1000, 5),
        note=f"django-ca {django.version}, one full list of {entries} revoked certificates from SQLite to its row, "
        f"{made.octets} octets, {made.rss_mb} MB resident; no shards, no deltas, no comparison with the last list",
    )
    return (figure,)
