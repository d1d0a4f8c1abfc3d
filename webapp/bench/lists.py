"""`crl.*`: a list of all that is revoked, 128 shards, one shard after a revocation; beside `openssl ca -gencrl`."""

import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import delete, insert, update

from ca.status.revocation import CertificateState, RevocationReason, Status, encode_crl_entry
from ca.tables import certificates, crl_deltas, crl_pages, crls
from pki.certificates import serial_hex
from storage.engine import Database, open_database
from webapp.atomic_files import write_atomically
from webapp.bench.list_publisher import ISSUER
from webapp.bench.measure import Figure, Peer, fsync_ms
from webapp.bench.openssl_peer import OpensslCa
from webapp.commands.init import initialise
from webapp.deployment import Deployment
from webapp.ports import LOOPBACK, free_pair, free_port

SHORT: Final = 100_000
LONG: Final = 1_000_000
SHARDS: Final = 128
CHANGES: Final = 15
_ROUND: Final = 10_000
_DER: Final = b"\0" * 1100


def list_figures(*, long: bool) -> tuple[Figure, ...]:
    """Measure lists of 100,000 entries, or of a million."""
    count = LONG if long else SHORT
    size = "1m" if long else "100k"
    with tempfile.TemporaryDirectory(prefix="mohr-bench-") as folder:
        deployment = Deployment(Path(folder) / "home")
        initialise(deployment, f"http://{LOOPBACK}:{free_pair(free_port())}", None)
        database = open_database(deployment.database_url(deployment.settings()))
        good = _seed(database, count)
        _forget_lists(database)
        whole = _published(deployment, 1, "one")
        changed = _published(deployment, 1, "change", *good[:3])
        _spread(database)
        shards = _published(deployment, SHARDS, "all")
        one = _published(deployment, SHARDS, "change", *good[3:])
        database.close()
        peer, peer_shard = (_openssl(Path(folder) / str(many), many) for many in (count, count // SHARDS))
        builder = _builder(count)
        floor = _written(Path(folder) / "floor", whole["octets"])
        durable = fsync_ms(Path(folder))
    first, after = whole["seconds"][0], statistics.median(changed["seconds"])
    said = f"{count:,} entries in SQLite, {whole['octets'] / 1e6:.1f} MB; database to signed file, gate and delta too"
    return (
        Figure(
            name=f"crl.full_{size}",
            value=round(after, 3),
            unit="s",
            peer="openssl ca -gencrl, its text index, key in a file",
            peer_value=peer[0],
            floor="writing as many octets durably, s",
            floor_value=floor,
            note=f"after one revocation; the very first list {first:.2f} s. {said}",
            more_peers=(Peer("cryptography's builder and signature, key in memory, nothing stored", builder),),
        ),
        Figure(
            name=f"crl.full_{size}_rss",
            value=max(whole["peak_mb"], changed["peak_mb"]),
            unit="MB",
            peer="openssl ca -gencrl",
            peer_value=peer[1],
            floor="the list alone, MB",
            floor_value=round(whole["octets"] / 1e6, 1),
            note=f"peak of the publishing process, the first list {whole['peak_mb']} MB, the next {changed['peak_mb']}",
        ),
        Figure(
            name="crl.shards_128",
            value=round(sum(shards["seconds"]), 2),
            unit="s",
            peer=f"openssl ca -gencrl, {SHARDS} times",
            peer_value=round(peer_shard[0] * SHARDS, 2),
            floor="one list of all entries, s",
            floor_value=round(first, 2),
            note=f"every shard for the first time, {shards['entries']:,} entries in all; peak {shards['peak_mb']} MB",
        ),
        Figure(
            name="crl.shard_one",
            value=round(statistics.median(one["seconds"]) * 1000, 1),
            unit="ms",
            peer="openssl ca -gencrl of as many entries",
            peer_value=round(peer_shard[0] * 1000, 1),
            floor="six small durable writes, ms",
            floor_value=round(6 * durable, 2),
            note=f"after each of {len(one['seconds'])} revocations, list and delta; "
            f"the slowest {max(one['seconds']) * 1000:.0f} ms; one of {SHARDS} shards of {count:,} entries",
        ),
    )


def _row(number: int, dice: random.Random, now: datetime) -> dict[str, Any]:
    serial = dice.getrandbits(158) | 1 << 158
    begin = now - timedelta(days=300, seconds=dice.randrange(10**7))
    status = Status(state=CertificateState.GOOD)
    if number >= CHANGES:
        revoked, reason = begin + timedelta(days=dice.randrange(1, 180)), RevocationReason.CESSATION_OF_OPERATION
        status = Status(state=CertificateState.REVOKED, revoked_at=revoked.replace(microsecond=0), reason=reason)
    return {
        "serial": serial_hex(serial),
        "issuer": ISSUER.value,
        "profile": "clin-sign",
        "holder": f"h{number}",
        "name": "آزمایشی",
        "state": status.state.value,
        "status_version": 1,
        "shard": 0,
        "unapproved": False,
        "spki_sha256": dice.randbytes(32),
        "tbs_sha256": dice.randbytes(32),
        "not_before": begin,
        "not_after": begin + timedelta(days=1095),
        "requested_by": "bench",
        "intended_at": begin,
        "issued_at": begin,
        "der": _DER,
        "lint_state": "passed",
        "revoked_at": status.revoked_at,
        "reason": None if status.reason is None else status.reason.value,
        "crl_entry": encode_crl_entry(serial, status) if status.listed else None,
    }


def _seed(database: Database, count: int) -> list[str]:
    """Register certificates that are revoked, and a few that are good, whose serial numbers are returned."""
    dice, now = random.Random(5), datetime.now(UTC)  # noqa: S311 - rows, no secrets
    good: list[str] = []
    with database.begin() as unit:
        for index in certificates.indexes:
            index.drop(unit.connection)
    for begin in range(0, count + CHANGES, _ROUND):
        rows = [_row(number, dice, now) for number in range(begin, min(begin + _ROUND, count + CHANGES))]
        good += [row["serial"] for row in rows if row["crl_entry"] is None]
        with database.begin() as unit:
            unit.connection.execute(insert(certificates), rows)
    with database.begin() as unit:
        for index in certificates.indexes:
            index.create(unit.connection)
    return good


def _spread(database: Database) -> None:
    """Give every certificate one of many shards, as if it had been so from the beginning."""
    with database.begin() as unit:
        of_issuer = certificates.c.issuer == ISSUER.value
        unit.connection.execute(update(certificates).where(of_issuer).values(shard=certificates.c.id % SHARDS))
    _forget_lists(database)


def _forget_lists(database: Database) -> None:
    """Have the next list of each shard be the first one; numbers go on."""
    with database.begin() as unit:
        unit.connection.execute(delete(crl_pages).where(crl_pages.c.issuer == ISSUER.value))
        for table in (crls, crl_deltas):
            unit.connection.execute(update(table).where(table.c.issuer == ISSUER.value).values(der=None))


def _published(deployment: Deployment, shards: int, wanted: str, *serials: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "webapp.bench.list_publisher", str(deployment.home), str(shards), wanted, *serials]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own module
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _openssl(folder: Path, count: int) -> tuple[float, float]:
    return OpensslCa.make(folder).full_list_cost(count)


def _builder(count: int) -> float:
    """Return the seconds that the `cryptography` package takes for a list of as many entries."""
    key, now, dice = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC), random.Random(6)  # noqa: S311 - serials
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "peer")])
    reason = x509.CRLReason(x509.ReasonFlags.cessation_of_operation)
    began = time.perf_counter()
    revoked = [
        x509.RevokedCertificateBuilder()
        .serial_number(dice.getrandbits(158) | 1 << 158)
        .revocation_date(now)
        .add_extension(reason, critical=False)
        .build()
        for _ in range(count)
    ]
    listed = x509.CertificateRevocationListBuilder(revoked_certificates=revoked).issuer_name(name)
    signed = listed.last_update(now).next_update(now + timedelta(days=1)).sign(key, hashes.SHA256())
    signed.public_bytes(Encoding.DER)
    return round(time.perf_counter() - began, 3)


def _written(path: Path, octets: int) -> float:
    began = time.perf_counter()
    write_atomically(path, bytes(octets))
    return round(time.perf_counter() - began, 3)
