"""`issue.http`: certificates ordered by an officer over mutual TLS, from a deployment that is really served."""

import itertools
import json
import os
import ssl
import tempfile
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from ca.file_repository import insert_file
from ca.officers.identity import Officer
from ca.registration_states import FileState
from hsm.soft import UnsafeSoftKey
from pki.csr import build_csr
from pki.errors import ErrorCode, Unavailable
from pki.jose import compact_json
from pki.keys import SignatureAlgorithm
from webapp.api.inventory import PATH
from webapp.bench.django_ca import NOT_INSTALLED
from webapp.bench.https_driver import Driven, await_listener, drive
from webapp.bench.material import certificate_of
from webapp.bench.measure import Figure, Peer, per_second
from webapp.compose import Parts
from webapp.demo.people import DemoPhysician
from webapp.deployment import Deployment
from webapp.health import PartState
from webapp.http_client import DIRECTLY
from webapp.officers import CERTIFICATE_FILE, KEY_FILE, officer_folder

ISSUER: Final = "clerk-parsa"
CONNECTIONS: Final = 16
SECONDS: Final = 6.0
WARM_SECONDS: Final = 1.0
ORDERS: Final = 3000
_SLICE: Final = 250
_FLOOR: Final = 200
_START_SECONDS: Final = 60.0


def approved_files(parts: Parts, count: int, clerk: Officer) -> Iterator[str]:
    """Put files of as many physicians into the register, approved: who approves them is another figure's affair."""
    for _ in range(0, count, _SLICE):
        prepared = [parts.authority.prepare_file(DemoPhysician.make().registration(), clerk) for _ in range(_SLICE)]
        with parts.database.begin() as unit:
            for one in prepared:
                insert_file(unit.connection, replace(one.file, state=FileState.APPROVED))
        yield from (one.file.id for one in prepared)


def orders_of(files: Iterator[str], host: str) -> list[bytes]:
    """Write a whole request for each file, with a new key's CSR."""
    return [_request(file, host) for file in files]


def _request(file: str, host: str) -> bytes:
    csr = build_csr(UnsafeSoftKey.generate(SignatureAlgorithm.ES256), "bench")
    body = compact_json({"profile": "clin-sign", "file": file, "csr": b64encode(csr).decode()})
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Idempotency-Key: bench-{file}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def measure(deployment: Deployment, orders: list[bytes]) -> Driven:
    """Drive the listener of a served deployment in the name of the pilot's clerk."""
    folder = officer_folder(deployment, ISSUER)
    context = ssl.create_default_context(cafile=str(deployment.anchor))
    context.load_cert_chain(folder / CERTIFICATE_FILE, folder / KEY_FILE)
    place = urlsplit(deployment.settings().exchange_url)
    address, rest = (str(place.hostname), place.port or 443), iter(orders)
    await_listener(address)
    drive(address, context, rest, connections=CONNECTIONS, seconds=WARM_SECONDS, status=201)
    return drive(address, context, rest, connections=CONNECTIONS, seconds=SECONDS, status=201)


def await_well(deployment: Deployment, bind: str) -> None:
    """Return once a deployment is well, and its linter done with what was issued before: that is not measured."""
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        with suppress(OSError), DIRECTLY.open(f"http://{bind}/healthz", timeout=5) as answer:
            is_well = {part["state"] for part in json.load(answer)["parts"].values()} == {PartState.OK}
            if is_well and json.loads(deployment.linter_state.read_bytes())["waiting"] == 0:
                return
        time.sleep(0.2)
    raise Unavailable(ErrorCode.UNAVAILABLE, "the deployment is not well")


def floor_rate() -> float:
    """Return how many certificates one thread builds, signs with a key in memory and writes durably, one by one."""
    issuer, holder = (UnsafeSoftKey.generate(SignatureAlgorithm.ES256) for _ in range(2))
    now = datetime.now(UTC)
    with tempfile.TemporaryFile() as file:

        def make() -> int:
            for _ in itertools.repeat(None, _FLOOR):
                made = certificate_of("Bench holder", "Bench CA", holder.public_key(), issuer, now, ca=False)
                file.write(made.der)
                file.flush()
                os.fdatasync(file.fileno())
            return _FLOOR

        return per_second(make)


def http_figure(
    deployment: Deployment, orders: list[bytes], peer: Figure | None, more_peers: tuple[Peer, ...]
) -> Figure:
    """Measure the served deployment, beside OpenBao's durable rate, django-ca's and the floor."""
    before = os.times()
    began = time.perf_counter()
    driven = measure(deployment, orders)
    spent = os.times().user + os.times().system - before.user - before.system
    share = round(100 * spent / (time.perf_counter() - began))
    return Figure(
        name="issue.http",
        value=driven.rate,
        unit="1/s",
        peer=None if peer is None else "OpenBao pki/sign over plain HTTP, stored by Raft; no lint, approvals or ledger",
        peer_value=None if peer is None else peer.value,
        floor="one thread: certificate built, signed with a key in memory, one fdatasync each, 1/s",
        floor_value=floor_rate(),
        note=f"POST {PATH} over mutual TLS, {CONNECTIONS} connections kept alive, one driver on the same processors "
        f"({share} % of one), an approved file and a key for each; officer's role read, CSR proof, own "
        "lint, intent and result rows and ledger events (SQLite, synchronous=FULL), P-256 in SoftHSM2 behind the "
        f"custodians; worker and linter run; p50 {driven.percentile(0.5)} ms, p99 {driven.percentile(0.99)} ms"
        + ("" if more_peers else NOT_INSTALLED),
        more_peers=more_peers,
    )
