"""`ocsp.*`: answers signed ahead, live and after a change, of a deployment with many certificates, beside its peers."""

import base64
import contextlib
import random
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy import insert

from ca.context import responder_name
from ca.linting.verdicts import LintState
from ca.officers.identity import OfDeployment, Officer
from ca.profiles import IssuerName
from ca.records import CertificateRecord
from ca.status.ocsp import OCSP_NONCE, SingleAnswer, build_response_data, issuer_prefix, usual_cert_id
from ca.status.revocation import CertificateState
from ca.tables import certificates
from hsm.provider import SignsMany
from pki import der
from pki.certificates import Certificate
from pki.errors import ErrorCode, Unavailable, VerificationFailed
from webapp.bench.django_ca import NOT_INSTALLED, DjangoCa, find_interpreter, ocsp_path
from webapp.bench.measure import Figure, Peer, per_second
from webapp.bench.openssl_peer import OpensslCa
from webapp.compose import Parts, opened_parts
from webapp.demo.stage import running_server
from webapp.deployment import Deployment
from webapp.http_client import DIRECTLY

SHORT: Final = 5_000
LONG: Final = 1_000_000
_ROUND: Final = 10_000
_DER_OCTETS: Final = 1100
_ASKED: Final = 8  # certificates asked about at once, each by a program of its own
_CHANGES: Final = 6
_IN_A_ROW: Final = 40  # new connections, spread over the server's processes
_DJANGO_COUNT: Final = 50
_OFFICER: Final = Officer(id="bench-officer", proof=OfDeployment(ceremony="bench"))
_REVOKED: Final = b"\xa1"


@dataclass(frozen=True, slots=True)
class _Load:
    rate: float
    p99: int


def answering_figures(deployment: Deployment, *, long: bool) -> tuple[Figure, ...]:
    """Measure a deployment of its own, which is empty and is not needed afterwards."""
    count = LONG if long else SHORT
    with opened_parts(deployment) as parts:
        serials = _seed(parts, count)
        ahead = _ahead(parts, count)
        floor = _device_rate(parts)
    prefix = issuer_prefix(_issuer(deployment))
    plain = [_request(prefix, serial) for serial in serials[:_ASKED]]
    with tempfile.TemporaryDirectory(prefix="mohr-bench-") as folder:
        peer = OpensslCa.make(Path(folder) / "ca")
        peer.issue(1)
        peer.fill_index(count)
        nonce = Path(folder) / "nonce.der"
        nonce.write_bytes(_request(prefix, serials[0], nonce=b"n" * 32))
        with running_server(deployment) as bind:
            time.sleep(2)  # else what the worker does at its start is measured too
            stored = _get([f"http://{bind}/ocsp/{base64.b64encode(each).decode()}" for each in plain])
            file = _get([f"http://{bind}/ca/persons.cer"] * _ASKED)
            live = _post(f"http://{bind}/ocsp", nonce)
            visible = _visible(deployment, bind, serials[0], plain[0])
        with peer.responder(2) as address:
            theirs = _load(address + peer.ocsp_path(), "-c", "8")
        beside = tuple(_django_answers(Path(folder) / "django"))
    return (
        Figure(
            name="ocsp.presigned",
            value=stored.rate,
            unit="1/s",
            peer=f"openssl ocsp -multi 2, {count} certificates in its index, signing each answer",
            peer_value=theirs.rate,
            floor="GET of an issuer's certificate from the same server, 1/s",
            floor_value=file.rate,
            note=f"GET, {count} certificates in the store, {_ASKED} programs ask about one each (ab -k -c 4) on the "
            f"same cores (peers without keep-alive: -c 8), 2 workers; no answer is remembered; p99 {stored.p99} ms"
            + ("" if beside else NOT_INSTALLED),
            more_peers=beside,
        ),
        Figure(
            name="ocsp.nonce",
            value=live.rate,
            unit="1/s",
            peer="openssl ocsp -multi 2, key in a file, GET without a nonce: it signs each answer too",
            peer_value=theirs.rate,
            floor="custodian signatures alone, P-256 in SoftHSM2, 1/s",
            floor_value=floor,
            note="POST with a nonce of 32 octets, ab -k -c 32 on the same cores, 2 workers; status from the rows, "
            f"P-256 in SoftHSM2 behind the custodian, each signature checked; p99 {live.p99} ms",
        ),
        ahead,
        visible,
    )


def _issuer(deployment: Deployment) -> Certificate:
    return Certificate.parse(deployment.certificate_file(IssuerName.PERSONS.value).read_bytes())


def _seed(parts: Parts, count: int) -> list[int]:
    """Put certificates into the register that nobody issued; return their serial numbers."""
    dice = random.Random(5)  # noqa: S311 - rows, no secrets
    serials = [int.from_bytes(dice.randbytes(15)) | 1 << 124 for _ in range(count)]
    for at in range(0, count, _ROUND):
        with parts.database.begin() as unit:
            unit.connection.execute(insert(certificates), [_row(dice, serial) for serial in serials[at : at + _ROUND]])
    return serials


def _row(dice: random.Random, serial: int) -> dict[str, Any]:
    begin = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
    return {
        "serial": f"{serial:032x}",
        "issuer": IssuerName.PERSONS.value,
        "profile": "clin-sign",
        "holder": f"bench-{serial}",
        "name": "آزمایشی",
        "state": CertificateState.GOOD.value,
        "status_version": 1,
        "shard": serial % 4,
        "unapproved": False,
        "spki_sha256": dice.randbytes(32),
        "tbs_sha256": dice.randbytes(32),
        "not_before": begin,
        "not_after": begin + timedelta(days=700),
        "requested_by": "bench",
        "intended_at": begin,
        "issued_at": begin,
        "lint_state": LintState.CLEAN.value,
        "der": dice.randbytes(_DER_OCTETS),
    }


def _ahead(parts: Parts, count: int) -> Figure:
    parts.deployment.answers.unlink(missing_ok=True)  # nothing in the feed tells of certificates that nobody issued
    parts.authority.presign(limit=1000)  # the file is made, the device is warm
    began = time.perf_counter()
    done = parts.authority.presign(limit=2 * count)
    seconds = time.perf_counter() - began
    if done < count - 1000:
        raise VerificationFailed(ErrorCode.VERIFICATION_FAILED, f"only {done} of {count} answers were signed")
    return Figure(
        name="ocsp.presigning",
        value=round(done / seconds, 1),
        unit="1/s",
        peer=None,
        peer_value=None,
        floor="custodian signatures alone, P-256 in SoftHSM2, 1/s",
        floor_value=_device_rate(parts),
        note=f"{done} answers from the rows to the store in {seconds:.1f} s, each signature checked; "
        f"{parts.deployment.answers.stat().st_size // max(count, 1)} octets of the file each",
    )


def _device_rate(parts: Parts) -> float:
    keys = parts.keys
    if not isinstance(keys, SignsMany):
        raise Unavailable(ErrorCode.UNAVAILABLE, "the provider signs one by one")
    label = responder_name(IssuerName.PERSONS)
    delegate = next(own for own in parts.authority.own_certificates() if own.name == label)
    now = datetime.now(UTC).replace(microsecond=0)
    cert_id = usual_cert_id(issuer_prefix(_issuer(parts.deployment)), 1)
    answer = SingleAnswer(cert_id=cert_id, status=None, this_update=now, next_update=now + timedelta(minutes=5))
    message = build_response_data(delegate.certificate, [answer], now)
    return per_second(lambda: len(keys.sign_many(delegate.key_label, [message] * 500)))


def _request(prefix: bytes, serial: int, *, nonce: bytes | None = None) -> bytes:
    asked = der.sequence(der.sequence(usual_cert_id(prefix, serial)))
    if nonce is None:
        return der.sequence(der.sequence(asked))
    value = der.octet_string(der.octet_string(nonce))
    return der.sequence(der.sequence(asked, der.context(2, der.sequence(der.sequence(der.oid(OCSP_NONCE), value)))))


def _get(urls: Sequence[str]) -> _Load:
    """Ask at several addresses at once, over connections that stay open."""
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(_ab(url, "-k", "-c", "4")) for url in urls]
        found = [_result(child, url) for child, url in zip(running, urls, strict=True)]
    return _Load(round(sum(load.rate for load in found), 1), max(load.p99 for load in found))


def _post(url: str, body: Path) -> _Load:
    return _load(url, "-k", "-c", "32", "-p", str(body), "-T", "application/ocsp-request")


def _load(url: str, *options: str) -> _Load:
    with _ab(url, *options) as child:
        return _result(child, url)


@contextlib.contextmanager
def _ab(url: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    command = ["ab", "-q", "-t", "4", "-n", "1000000", *options, url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as child:  # noqa: S603 - fixed program
        try:
            yield child
        finally:
            child.kill()


def _result(child: "subprocess.Popen[str]", url: str) -> _Load:
    said, _ = child.communicate()
    rate = re.search(r"Requests per second:\s+([0-9.]+)", said)
    p99 = re.search(r"99%\s+([0-9]+)", said)
    if rate is None or p99 is None or "Non-2xx" in said:
        raise VerificationFailed(ErrorCode.VERIFICATION_FAILED, f"not every answer was a success at {url}")
    return _Load(float(rate.group(1)), int(p99.group(1)))


def _visible(deployment: Deployment, bind: str, serial: int, request: bytes) -> Figure:
    """Suspend and lift, and see how long any process of the server tells what was true before."""
    url = f"http://{bind}/ocsp/{base64.b64encode(request).decode()}"
    told, alone = list[float](), list[float]()
    with opened_parts(deployment) as parts:
        for taken, tells in ((told, True), (alone, False)):
            for change in range(_CHANGES):
                act = parts.authority.unhold if change % 2 else parts.authority.hold
                if not tells:  # as one on another machine, or one that is killed after its commit
                    parts.authority.presign_now = _tell_nobody  # type: ignore[method-assign]
                began = time.perf_counter()
                act(f"{serial:032x}", _OFFICER)
                committed = time.perf_counter()
                _await(url, revoked=change % 2 == 0)
                taken.append(time.perf_counter() - (began if tells else committed))
    return Figure(
        name="ocsp.visible",
        value=round(max(alone), 3),
        unit="s",
        peer=None,
        peer_value=None,
        floor="from the call that suspends or lifts, where the one who changes a status tells the store, s",
        floor_value=round(max(told), 3),
        note=f"worst of {_CHANGES}, suspended and lifted: from the commit of a process that is killed after it until "
        f"{_IN_A_ROW} new connections in a row are told the new status",
    )


def _tell_nobody(record: CertificateRecord) -> None:
    del record


def _await(url: str, *, revoked: bool) -> None:
    in_a_row, end = 0, time.monotonic() + 60
    while in_a_row < _IN_A_ROW:
        if time.monotonic() > end:
            raise VerificationFailed(ErrorCode.VERIFICATION_FAILED, "a change of status was not told")
        with DIRECTLY.open(url, timeout=10) as answer:
            in_a_row = in_a_row + 1 if _is_revoked(answer.read()) is revoked else 0


def _is_revoked(response: bytes) -> bool:
    basic = der.parse(der.parse(response).sequence()[1].inner().sequence()[1].octets())
    responses = next(field for field in basic.sequence()[0].sequence() if field.tag == der.SEQUENCE)
    return responses.sequence()[0].sequence()[1].raw[:1] == _REVOKED


def _django_answers(folder: Path) -> Iterator[Peer]:
    python = find_interpreter()
    if python is None or shutil.which("ab") is None:
        return
    peer = DjangoCa.make(folder, python)
    made = peer.issue(_DJANGO_COUNT)
    path = ocsp_path(made, _request(issuer_prefix(made.issuer), made.leaf.serial))
    for prepared, how in ((False, "signing each answer"), (True, "answers signed before, from its cache")):
        with peer.responder(prepared=prepared) as address:
            load = _load(address + path, "-c", "8")
        yield Peer(f"django-ca {peer.version}, gunicorn, 2 workers, SQLite, {how}; p99 {load.p99} ms", load.rate)
