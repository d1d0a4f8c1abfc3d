"""Certificates for officers over mutual TLS: ordered one by one or many at once, and shown."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal

from flask import Response, g, request
from pydantic import BaseModel, ConfigDict, Field

from ca.issuing.key_proofs import KeyProof
from ca.issuing.orders import MAX_KEY, Channel, Issued, IssueOrder, malformed_key
from ca.officers.identity import Officer
from ca.records import CertificateRecord
from ca.status.revocation import CertificateState
from pki.certificates import pem
from pki.csr import MAX_CSR_OCTETS
from pki.errors import ErrorCode, InvalidInput, ServiceError
from pki.instants import format_instant
from pki.pkcs7 import decode_body
from webapp.api.inventory import PATH
from webapp.json_requests import read_json
from webapp.openapi import IDEMPOTENCY_KEY, OFFICER, Api, Operation, json_response
from webapp.overload import Places
from webapp.problems import problem_of
from webapp.services import Services, installed

MAX_BATCH: Final = 256
MAX_BATCH_OCTETS: Final = 2 * 1024 * 1024
WAITING: Final = 24
"""How many orders a listener's process has under way or waiting; each holds a thread of it."""
BATCHES: Final = 2
MAX_TEXT: Final = -(-MAX_CSR_OCTETS // 3) * 4 + 1024  # base64, its line breaks and armour


class KeyProofBody(BaseModel):
    """What a personalisation station states of the key. No card's maker attests it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    nonce: str = Field(min_length=1, max_length=64, description="The id of the nonce that the request carries.")
    card: str = Field(min_length=1, max_length=64, description="The card's serial number.")
    generated_on_card: Literal[True]


class OrderBody(BaseModel):
    """A certificate that is wanted."""

    model_config = ConfigDict(extra="forbid", strict=True)

    profile: str = Field(min_length=1, max_length=64)
    file: str = Field(min_length=1, max_length=64, description="An approved registration file.")
    csr: str = Field(min_length=1, max_length=MAX_TEXT, description="The request (RFC 2986): PEM, or DER in base64.")
    lint: Literal["before"] | None = Field(
        default=None, description="Have the independent linter judge it before it is signed, not soon after."
    )
    key_proof: KeyProofBody | None = Field(
        default=None, description="That the key was made on a card, for a nonce of `/api/v1/csr-nonces`."
    )


class KeyedOrderBody(OrderBody):
    """One of several orders, with a key of its own."""

    key: str = Field(min_length=1, max_length=MAX_KEY, description="As Idempotency-Key, for this order alone.")


class BatchBody(BaseModel):
    """Orders that are given at once."""

    model_config = ConfigDict(extra="forbid", strict=True)

    orders: list[KeyedOrderBody] = Field(min_length=1, max_length=MAX_BATCH)


class IssuedAnswer(BaseModel):
    """A certificate that is signed and recorded."""

    serial: str
    issuer: str
    state: CertificateState
    pem: str
    repeated: bool = Field(description="Whether an earlier order of the same key made it.")


class OutcomeAnswer(BaseModel):
    """What became of one order: a certificate, or a problem."""

    status: int = Field(description="The status that the order would have had alone.")
    certificate: IssuedAnswer | None = None
    problem: dict[str, Any] | None = Field(default=None, description="A problem document (RFC 9457).")


class BatchAnswer(BaseModel):
    """What became of each order, in its place."""

    outcomes: list[OutcomeAnswer]


class CertificateAnswer(BaseModel):
    """A certificate of the register and its status, without its holder's national code."""

    serial: str
    state: CertificateState
    profile: str
    profile_version: int | None
    issuer: str
    name: str
    file: str | None
    unapproved: bool
    not_before: datetime
    not_after: datetime
    issued_at: datetime | None
    revoked_at: datetime | None
    reason: str | None
    predecessor: str | None = Field(description="What it renews or replaces.")
    pem: str | None = Field(description="Null while it is being made, and where nothing came of it.")


ISSUING: Final = (
    ErrorCode.OVERLOADED,
    ErrorCode.NOT_FOUND,
    ErrorCode.PROFILE_UNKNOWN,
    ErrorCode.PROFILE_RETIRED,
    ErrorCode.NOT_APPROVED,
    ErrorCode.FOUR_EYES,
    ErrorCode.CSR_MALFORMED,
    ErrorCode.CSR_PROOF_INVALID,
    ErrorCode.KEY_REFUSED,
    ErrorCode.KEY_PROOF_INVALID,
    ErrorCode.NONCE_INVALID,
    ErrorCode.LINT_FAILED,
    ErrorCode.IDEMPOTENCY_CONFLICT,
    ErrorCode.REQUEST_IN_PROGRESS,
    ErrorCode.CLOCK_SUSPECT,
    ErrorCode.STORAGE_LOW,
    ErrorCode.DATABASE_UNAVAILABLE,
    ErrorCode.HSM_UNAVAILABLE,
    ErrorCode.HSM_RATE_EXCEEDED,
    ErrorCode.HSM_PURPOSE_REFUSED,
)
ISSUE: Final = Operation(
    method="POST",
    path=PATH,
    name="issueCertificate",
    summary="The certificate",
    description="Issue a certificate for a request's key to the holder of an approved file. The officer's role is "
    "read where the intent is written. Sent again under the same key, it is answered by the same certificate.",
    answer=IssuedAnswer,
    status=201,
    other_statuses={200: "The certificate that an earlier order of this key made"},
    body=OrderBody,
    parameters=(IDEMPOTENCY_KEY,),
    problems=ISSUING,
    security=OFFICER,
)
BATCH: Final = Operation(
    method="POST",
    path=PATH + "/batch",
    name="issueCertificates",
    summary="What became of each order",
    description="Give up to 256 orders at once, each with a key of its own; a refused one hurts no other.",
    answer=BatchAnswer,
    body=BatchBody,
    problems=(ErrorCode.OVERLOADED,),
    security=OFFICER,
)
SHOW: Final = Operation(
    method="GET",
    path=PATH + "/{serial}",
    name="showCertificate",
    summary="The certificate and its status",
    description="A certificate of the register. Who looks at a person's is recorded.",
    answer=CertificateAnswer,
    problems=(ErrorCode.NOT_FOUND, ErrorCode.INPUT_MALFORMED),
    security=OFFICER,
)


def csr_of(text: str) -> bytes:
    """Return a request as PEM, or as DER out of base64; what it holds is the line's to judge."""
    data = text.strip().encode()
    return data if data.startswith(b"-----BEGIN") else decode_body(data, MAX_CSR_OCTETS)


def proof_of(body: KeyProofBody) -> KeyProof:
    """Return what a station stated of a key."""
    return KeyProof(nonce_id=body.nonce, card=body.card)


def idempotency_key() -> str:
    """Return the key that a request names; InvalidInput where it names none, or several (RFC 9110 §5.3)."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        detail = "the header Idempotency-Key is missing"
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, detail, reason="request.no-idempotency-key")
    if "," in key:
        raise malformed_key()
    return key


def issued_members(issued: Issued) -> dict[str, Any]:
    """Write an answer's members."""
    return {
        "serial": issued.serial_hex,
        "issuer": issued.issuer,
        "state": issued.state.value,
        "pem": pem(issued.der),
        "repeated": issued.repeated,
    }


def status_of(issued: Issued) -> int:
    """Return the status of an answer: whether it was made now."""
    return 200 if issued.repeated else 201


def _outcome(outcome: Issued | ServiceError) -> dict[str, Any]:
    if isinstance(outcome, ServiceError):
        problem = problem_of(outcome, g.request_id)
        return {"status": problem.status, "problem": problem.as_json()}
    return {"status": status_of(outcome), "certificate": issued_members(outcome)}


def _record_members(record: CertificateRecord) -> Mapping[str, Any]:
    revoked, issued = record.status.revoked_at, record.issued_at
    return {
        "serial": record.serial_hex,
        "state": record.state.value,
        "profile": str(record.profile),
        "profile_version": record.profile_version,
        "issuer": record.issuer.value,
        "name": record.name,
        "file": record.file_id,
        "unapproved": record.unapproved,
        "not_before": format_instant(record.not_before),
        "not_after": format_instant(record.not_after),
        "issued_at": None if issued is None else format_instant(issued),
        "revoked_at": None if revoked is None else format_instant(revoked),
        "reason": None if record.status.reason is None else str(record.status.reason),
        "predecessor": record.predecessor,
        "pem": None if record.der is None else pem(record.der),
    }


def install(api: Api, services: Services) -> None:
    """Serve `/api/v1/certificates`, `…/batch` and `…/{serial}`."""
    waiting, batches = Places(WAITING), Places(BATCHES)

    def order(body: OrderBody, officer: Officer, key: str) -> IssueOrder:
        return IssueOrder(
            profile=body.profile,
            file_id=body.file,
            csr=csr_of(body.csr),
            actor=officer.id,
            officer=officer,
            channel=Channel.API,
            idempotency_key=key,
            key_proof=None if body.key_proof is None else proof_of(body.key_proof),
            lint_first=None if body.lint is None else installed(services.lint_first),
        )

    def issue(officer: Officer) -> Response:
        key = idempotency_key()
        wanted = order(read_json(OrderBody), officer, key)
        with waiting.taken():
            issued = installed(services.issuing).issue(wanted)
        answer = json_response(issued_members(issued), status_of(issued))
        answer.headers["Location"] = f"{PATH}/{issued.serial_hex}"
        return answer

    def ordered(body: KeyedOrderBody, officer: Officer) -> IssueOrder | ServiceError:
        try:
            return order(body, officer, body.key)
        except ServiceError as error:
            return error

    def batch(officer: Officer) -> Response:
        wanted = [ordered(body, officer) for body in read_json(BatchBody, MAX_BATCH_OCTETS).orders]
        with batches.taken():
            made = installed(services.issuing).issue_many(one for one in wanted if isinstance(one, IssueOrder))
            outcomes = [_outcome(next(made) if isinstance(one, IssueOrder) else one) for one in wanted]
        return json_response({"outcomes": outcomes})

    def show(officer: Officer, serial: str) -> Response:
        return json_response(_record_members(installed(services.inventory).show(serial, officer)))

    api.add(ISSUE, issue)
    api.add(BATCH, batch)
    api.add(SHOW, show)
