"""`issue.*`: a scratch deployment with SoftHSM2, beside `openssl`, OpenBao and django-ca."""

import tempfile
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ca.hierarchy import authority_key
from ca.issuing.orders import IssueOrder
from ca.officers.identity import OfDeployment, Officer
from ca.profiles import IssuerName
from hsm.provider import SignsMany
from hsm.soft import UnsafeSoftKey
from pki.certificates import Certificate
from pki.csr import build_csr
from pki.errors import ErrorCode, ServiceError, Unavailable, VerificationFailed
from pki.keys import SignatureAlgorithm
from webapp.bench.django_ca import NOT_INSTALLED, DjangoCa, Made, find_interpreter, issuing_peer
from webapp.bench.issuing_http import ORDERS as ORDERS_OVER_HTTP
from webapp.bench.issuing_http import approved_files, await_well, http_figure, orders_of
from webapp.bench.measure import Figure, Peer, per_second
from webapp.bench.openssl_peer import OpensslCa
from webapp.bench.peers_bao import openbao_figure
from webapp.commands.init import initialise
from webapp.compose import Parts, opened_parts
from webapp.demo.people import DemoPhysician
from webapp.demo.stage import running_server
from webapp.deployment import Deployment
from webapp.ports import LOOPBACK, free_pair, free_port

BATCH: Final = 256
ORDERS: Final = 4 * BATCH  # given at once: the line prepares one round while it carries out another
PEER_COUNT: Final = 20
DJANGO_COUNT: Final = 500


def scratch_deployment(folder: Path) -> Deployment:
    """Return the bench's own deployment, made when it is not there."""
    deployment = Deployment(folder)
    if not deployment.exists():
        initialise(deployment, f"http://{LOOPBACK}:{free_pair(free_port())}", None)
    return deployment


def issuing_figures(deployment: Deployment) -> tuple[Figure, ...]:
    """Measure batches of certificates, and certificates over HTTP."""
    with tempfile.TemporaryDirectory(prefix="mohr-bench-") as folder:
        peer = OpensslCa.make(Path(folder) / "ca")
        peer_rate = per_second(lambda: peer.issue(PEER_COUNT), runs=2)
        django = _django_ca(Path(folder) / "django")
        with opened_parts(deployment) as parts:
            batch = _issue(parts, peer_rate, django)
            host = urlsplit(deployment.settings().exchange_url).netloc
            orders = orders_of(approved_files(parts, ORDERS_OVER_HTTP, _officer("bench-clerk")), host)
        beside = openbao_figure(batch.floor, batch.floor_value)
        figures = [batch] if beside is None else [batch, beside]
        with running_server(deployment) as bind:
            await_well(deployment, bind)
            figures.append(http_figure(deployment, orders, beside, _issuing(django)))
        return tuple(figures)


_Django = tuple[DjangoCa, Made]


def _django_ca(folder: Path) -> _Django | None:
    python = find_interpreter()
    if python is None:
        return None
    peer = DjangoCa.make(folder, python)
    return peer, peer.issue(DJANGO_COUNT)


def _issuing(django: _Django | None) -> tuple[Peer, ...]:
    return () if django is None else (issuing_peer(*django),)


def _requests(file_id: str) -> list[IssueOrder]:
    keys = [UnsafeSoftKey.generate(SignatureAlgorithm.ES256) for _ in range(ORDERS)]
    return [
        IssueOrder(actor="bench", profile="clin-sign", file_id=file_id, csr=build_csr(key, "bench")) for key in keys
    ]


def _approved_file(parts: Parts) -> str:
    file = parts.authority.submit_file(DemoPhysician.make().registration(), _officer("bench-clerk"))
    for officer in ("bench-first", "bench-second"):
        parts.authority.approve(file.id, _officer(officer))
    return file.id


def _officer(name: str) -> Officer:
    """Somebody of the bench's own deployment, whose approvals are worth nothing outside."""
    return Officer(id=name, proof=OfDeployment(ceremony="bench"))


def _issue(parts: Parts, peer_rate: float, django: _Django | None) -> Figure:
    file_id = _approved_file(parts)
    batches = [_requests(file_id) for _ in range(4)]
    label, keys = authority_key(IssuerName.PERSONS), parts.keys

    def issue_one_batch() -> int:
        outcomes = tuple(parts.authority.line.issue_many(batches.pop()))
        refused = [outcome for outcome in outcomes if isinstance(outcome, ServiceError)]
        if refused:
            raise refused[0]
        return len(outcomes)

    issue_one_batch()
    rate = per_second(issue_one_batch, runs=3)
    tbs = _any_leaf(parts).tbs

    def sign_only() -> int:
        if not isinstance(keys, SignsMany):
            raise Unavailable(ErrorCode.UNAVAILABLE, "the provider signs one by one")
        return len(keys.sign_many(label, [tbs] * BATCH))

    return Figure(
        name="issue.batch",
        value=rate,
        unit="1/s",
        peer="openssl ca, a process each, key in a file, no lint, no ledger",
        peer_value=peer_rate,
        floor="custodian signatures alone, P-256 in SoftHSM2, 1/s",
        floor_value=per_second(sign_only),
        note=f"{ORDERS} orders at once in rounds of {BATCH}, one client: CSR proof, own lint of every certificate, "
        "intent and result rows and ledger events in SQLite with synchronous=FULL, P-256 in SoftHSM2 behind "
        "the custodian" + ("" if django else NOT_INSTALLED),
        more_peers=_issuing(django),
    )


def _any_leaf(parts: Parts) -> Certificate:
    found = next(
        (record.der for record in parts.authority.certificates(limit=50) if record.file_id and record.der), None
    )
    if found is None:
        raise VerificationFailed(ErrorCode.NOT_FOUND, "the bench has issued nothing")
    return Certificate.parse(found)
