"""The status of certificates, changed by officers over mutual TLS: held, released, revoked for good.

A change that is there already is answered and not made again, so that a request whose answer was lost may be sent
again; another reason for a revocation is a conflict.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from ca.errors import IllegalTransition
from ca.officers.identity import Officer
from ca.records import CertificateRecord
from ca.status.acts.proposals import check_evidence
from ca.status.revocation import CertificateState, RevocationReason
from ca.status.revocation_desk import parse_reason, reaches_back
from pki.errors import ErrorCode
from pki.instants import parse_instant
from webapp.api.inventory import PATH
from webapp.certificate_documents import certificate_members
from webapp.json_requests import read_json
from webapp.openapi import OFFICER, Api, Operation, json_response
from webapp.services import Services, installed


class RevocationBody(BaseModel):
    """Why a certificate is revoked for good."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: str = Field(max_length=32, description="RFC 5280 §5.3.1, such as keyCompromise.")
    invalidity_date: str | None = Field(
        default=None,
        max_length=40,
        description="Since when the key is doubted (RFC 5280 §5.3.2); RFC 3339. More than ten minutes ago, this is a "
        "proposal: the certificate is on hold until another officer approves.",
    )
    evidence_sha256: str | None = Field(
        default=None, max_length=64, description="Of what a date in the past rests on, hexadecimal; needed for one."
    )


class StatusChangeBody(BaseModel):
    """An empty object: the act is all that is said."""

    model_config = ConfigDict(extra="forbid", strict=True)


class StatusAnswer(BaseModel):
    """A certificate and its status, without its holder's national code."""

    serial: str
    state: CertificateState
    profile: str
    profile_version: int | None
    issuer: str
    name: str
    not_after: datetime
    unapproved: bool
    reason: RevocationReason | None
    revoked_at: datetime | None
    predecessor: str | None = Field(description="What it renews or replaces.")
    proposal: str | None = Field(
        default=None, description="Set where the revocation waits for another officer (`/api/v1/revocations`)."
    )
    crl_number: int | None = Field(
        description="The published list that tells it; null where the worker publishes one, within a second."
    )


_PROBLEMS: Final = (
    ErrorCode.NOT_FOUND,
    ErrorCode.STATE_ILLEGAL,
    ErrorCode.DATABASE_UNAVAILABLE,
)


def _operation(
    path: str, name: str, summary: str, description: str, body: type[BaseModel], *more: ErrorCode
) -> Operation:
    return Operation(
        method="POST",
        path=f"{PATH}/{{serial}}/{path}",
        name=name,
        summary=summary,
        description=f"{description} OCSP tells it at once. Sent again, it is answered again.",
        answer=StatusAnswer,
        body=body,
        problems=(*_PROBLEMS, *more),
        security=OFFICER,
    )


REVOKE: Final = _operation(
    "revocation",
    "revokeCertificate",
    "The certificate, revoked",
    "Revoke a certificate for good, saying why.",
    RevocationBody,
    ErrorCode.FOUR_EYES,
)
HOLD: Final = _operation(
    "hold", "holdCertificate", "The certificate, on hold", "Suspend a certificate from now on.", StatusChangeBody
)
RELEASE: Final = _operation(
    "release",
    "releaseCertificate",
    "The certificate, good again",
    "Lift a suspension; nobody lifts that of their own certificate.",
    StatusChangeBody,
    ErrorCode.FOUR_EYES,
)


def install(api: Api, services: Services) -> None:
    """Serve `/api/v1/certificates/{serial}/revocation`, `…/hold` and `…/release`."""

    def changed(
        serial: str, change: Callable[[], CertificateRecord], is_so: Callable[[CertificateRecord], bool]
    ) -> Response:
        try:
            record = change()
        except IllegalTransition:  # which the gate let pass: only who may change it hears what it is
            record = installed(services.revocations).get(serial)
            if not is_so(record):
                raise
        number = installed(services.publish_status)(record.serial_hex)
        return json_response({**certificate_members(record), "crl_number": number})

    def revoke(officer: Officer, serial: str) -> Response:
        body = read_json(RevocationBody)
        reason = parse_reason(body.reason)
        since = None if body.invalidity_date is None else parse_instant(body.invalidity_date)
        if since is not None and reaches_back(since, services.clock.now()):
            evidence = check_evidence(body.evidence_sha256)
            made = installed(services.proposals).propose(serial, reason, since, evidence, officer)
            number = installed(services.publish_status)(made.record.serial_hex)
            members = {**certificate_members(made.record), "proposal": made.proposal.id, "crl_number": number}
            return json_response(members)
        whole = None if since is None else since.astimezone(UTC).replace(microsecond=0)

        def is_so(record: CertificateRecord) -> bool:
            status = record.status
            return record.state is CertificateState.REVOKED and (status.reason, status.invalidity_date) == (
                reason,
                whole,
            )

        desk = installed(services.revocations)
        return changed(serial, lambda: desk.revoke(serial, reason, officer, invalidity_date=since), is_so)

    def hold(officer: Officer, serial: str) -> Response:
        read_json(StatusChangeBody)
        desk = installed(services.revocations)
        return changed(
            serial, lambda: desk.hold(serial, officer), lambda record: record.state is CertificateState.ON_HOLD
        )

    def release(officer: Officer, serial: str) -> Response:
        read_json(StatusChangeBody)
        desk = installed(services.revocations)
        return changed(
            serial, lambda: desk.unhold(serial, officer), lambda record: record.state is CertificateState.GOOD
        )

    api.add(REVOKE, revoke)
    api.add(HOLD, hold)
    api.add(RELEASE, release)
