"""`custodian.*`, `transit.*` and `hsm.recovery`: keys behind the custodian, beside the bare device."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from hsm.custodian.config import Pkcs11Settings
from hsm.custodian.limits import KeyLimits
from hsm.custodian.policy import KeyNames, LimitedKeys, permissive
from hsm.custodian.protocol import Operation, encode_request, pack_items
from hsm.errors import HsmUnavailable
from hsm.private_files import write_private
from hsm.provider import KeyPurpose
from hsm.softhsm import SoftHsmToken
from hsm.transit.settings import TokenFile, TransitSettings
from pki import oids
from pki.errors import ErrorCode, Unavailable
from pki.keys import SignatureAlgorithm
from webapp.bench.custodians import IN_FLIGHT, BenchCustodian, KillableHsm, new_token, over_softhsm, running_custodian
from webapp.bench.material import Material
from webapp.bench.measure import Figure
from webapp.bench.openbao import find_bao, running_openbao
from webapp.bench.raw_softhsm import TOKEN as RAW_TOKEN

BATCH: Final = 100
SECONDS: Final = 3.0
ROUNDS: Final = 3
LOSSES: Final = 7
RECOVERY_PATIENCE: Final = 10.0

_ES256: Final = SignatureAlgorithm.ES256
_DIGEST: Final = bytes(range(32))
_RAW_PEER: Final = "python-pkcs11 with SoftHSM2 in one process, one key handle: no reading, no journal, no encoding"
_EXTENSIONS: Final = frozenset(
    {oids.BASIC_CONSTRAINTS, oids.KEY_USAGE, oids.SUBJECT_KEY_IDENTIFIER, oids.AUTHORITY_KEY_IDENTIFIER}
)


def custody_figures(scratch: Path, material: Material) -> tuple[Figure, ...]:
    """Measure the custodian over SoftHSM2, over OpenBao where there is one, and its way back after a loss."""
    with tempfile.TemporaryDirectory(prefix="custody-", dir=scratch) as name:
        folder = Path(name)
        figures = [*_softhsm_figures(folder, material), *_transit_figures(folder)]
        if KillableHsm.client_module() is not None:
            figures.append(_recovery(folder))
        return tuple(figures)


# --- SoftHSM2 -------------------------------------------------------------------------------------


def _raw_rate(token: SoftHsmToken, pin: str) -> float:
    command = [sys.executable, "-P", "-m", "webapp.bench.raw_softhsm", str(token.module_path), str(SECONDS / 2)]
    environment = {**token.environment, "PATH": os.defpath, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(  # noqa: S603 - our own interpreter and module
        command, env=environment, input=f"{pin}\n", check=True, capture_output=True, text=True
    )
    return float(ended.stdout)


def _softhsm_figures(folder: Path, material: Material) -> tuple[Figure, ...]:
    raw_token, token = new_token(folder, RAW_TOKEN), new_token(folder, "mohr-bench")
    raw_pin = raw_token.pin.reveal()
    certificate = material.chain[0]
    policy = replace(permissive({os.getuid()}), limited=_limits())
    with running_custodian(folder / "service", over_softhsm(token), token.pin.reveal(), policy) as custodian:
        custodian.client.generate("token", _ES256, KeyPurpose.TOKEN)
        custodian.client.generate("ca", _ES256, KeyPurpose.CERTIFICATE_AUTHORITY)
        custodian.client.set_issuer("ca", certificate.issuer_der)
        kinds = {
            "custodian.p256": (_digests(1), 1, "digests of a token key"),
            "custodian.p256_batch": (_digests(BATCH), BATCH, f"digests of a token key in batches of {BATCH}"),
            "custodian.certificates": (
                encode_request(Operation.SIGN, "ca", certificate.tbs),
                1,
                "to-be-signed certificates, each read and held against its key's limits",
            ),
        }
        return tuple(_beside_raw(name, custodian, kind, raw_token, raw_pin) for name, kind in kinds.items())


def _digests(count: int) -> bytes:
    return encode_request(Operation.SIGN_DIGESTS, "token", pack_items([_DIGEST] * count))


def _limits() -> tuple[LimitedKeys, ...]:
    limits = KeyLimits(
        backdate_seconds=2 * 86_400,
        ahead_seconds=30,
        certificate_seconds=400 * 86_400,
        allowed_extensions=_EXTENSIONS,
        required_extensions=_EXTENSIONS,
    )
    return (LimitedKeys(keys=KeyNames(("ca",)), limits=limits),)


def _beside_raw(
    name: str, custodian: BenchCustodian, kind: tuple[bytes, int, str], raw_token: SoftHsmToken, raw_pin: str
) -> Figure:
    """Measure both in turns, so that the machine's moods meet both."""
    request, count, what = kind
    rates, raw = [], []
    for _ in range(ROUNDS):
        raw.append(_raw_rate(raw_token, raw_pin))
        rates.append(custodian.rate(request, count, SECONDS / 2))
    return Figure(
        name=name,
        value=statistics.median(rates),
        unit="1/s",
        peer=_RAW_PEER,
        peer_value=statistics.median(raw),
        floor="the same: a custodian cannot be faster than its device",
        floor_value=statistics.median(raw),
        note=f"{what}: P-256, one custodian, {IN_FLIGHT} requests in flight from one other process, each use durable "
        "in the journal (fdatasync) before its signature leaves",
    )


# --- OpenBao --------------------------------------------------------------------------------------


def _transit_figures(folder: Path) -> tuple[Figure, ...]:
    program = find_bao()
    if program is None:
        return ()
    with running_openbao(program) as server:
        write_private(folder / "token", server.token.encode() + b"\n")
        settings = TransitSettings(url=server.url, auth=TokenFile(token_file=folder / "token"))
        with running_custodian(folder / "transit", settings) as custodian:
            custodian.client.generate("token", _ES256, KeyPurpose.TOKEN)
            bare = server.signatures_per_second(SECONDS / 2)
            single = custodian.rate(_digests(1), 1, SECONDS)
            batch = custodian.rate(_digests(BATCH), BATCH, SECONDS)
    peer = "the same server asked over one kept connection, one signature a request"
    note = f"P-256, OpenBao in memory on loopback behind one custodian, {IN_FLIGHT} requests in flight, journal on"
    return tuple(
        Figure(
            name=name,
            value=value,
            unit="1/s",
            peer=peer,
            peer_value=bare,
            floor="the same",
            floor_value=bare,
            note=f"{note}{more}",
        )
        for name, value, more in (("transit.p256", single, ""), ("transit.p256_batch", batch, f", batches of {BATCH}"))
    )


# --- loss and return ------------------------------------------------------------------------------


def _recovery(folder: Path) -> Figure:
    """Kill a network HSM again and again; time from its return to the next signature."""
    module = KillableHsm.client_module()
    if module is None:
        raise Unavailable(ErrorCode.UNAVAILABLE, "p11-kit is not installed")
    token = new_token(folder, "mohr-lost")
    hsm = KillableHsm(token, folder)
    hsm.start()
    device = Pkcs11Settings(module_path=module, token=token.label, environment=hsm.environment)
    taken: list[float] = []
    try:
        with running_custodian(folder / "lost", device, token.pin.reveal()) as custodian:
            custodian.client.generate("token", _ES256, KeyPurpose.TOKEN)
            for _ in range(LOSSES):
                _sign_within(custodian, RECOVERY_PATIENCE)
                hsm.kill()
                _fail(custodian)
                time.sleep(1)
                hsm.start()
                taken.append(_sign_within(custodian, RECOVERY_PATIENCE))
    finally:
        hsm.kill()
    return Figure(
        name="hsm.recovery",
        value=round(statistics.median(taken), 3),
        unit="s",
        peer=None,
        peer_value=None,
        floor="the promise: two seconds",
        floor_value=2.0,
        note=f"SoftHSM2 behind p11-kit server, killed for a second: from its return to the next signature, median of "
        f"{LOSSES}, worst {max(taken):.3f} s",
    )


def _sign_within(custodian: BenchCustodian, seconds: float) -> float:
    began = time.monotonic()
    while True:
        try:
            custodian.client.sign_digests("token", [_DIGEST])
        except HsmUnavailable:
            if time.monotonic() - began > seconds:
                raise
            time.sleep(0.005)
        else:
            return time.monotonic() - began


def _fail(custodian: BenchCustodian) -> None:
    """Use the lost device once, so that the loss is known."""
    try:
        custodian.client.sign_digests("token", [_DIGEST])
    except HsmUnavailable:
        return
    raise Unavailable(ErrorCode.INTERNAL, "a device that was killed signed")
