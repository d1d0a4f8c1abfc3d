"""Renewal and replacement for officers over mutual TLS: what comes after a certificate of the register."""

from typing import Final, Literal

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from ca.issuing.orders import Channel
from ca.issuing.renewal import Wish
from ca.officers.identity import Officer
from ca.registration import MAX_REASON
from ca.status.revocation import RevocationReason
from pki.errors import ErrorCode
from webapp.api.inventory import PATH
from webapp.api.issuing import (
    ISSUING,
    MAX_TEXT,
    IssuedAnswer,
    KeyProofBody,
    csr_of,
    idempotency_key,
    issued_members,
    proof_of,
    status_of,
)
from webapp.json_requests import read_json
from webapp.openapi import IDEMPOTENCY_KEY, OFFICER, Api, Operation, json_response
from webapp.overload import Places
from webapp.services import Services, installed

RENEWING: Final = 4
"""How many renewals and replacements a listener's process has under way: each may wait for a registry."""


class RenewalBody(BaseModel):
    """The key that a successor is for."""

    model_config = ConfigDict(extra="forbid", strict=True)

    csr: str = Field(min_length=1, max_length=MAX_TEXT, description="The request (RFC 2986): PEM, or DER in base64.")
    key_proof: KeyProofBody | None = Field(
        default=None, description="That the key was made on a card, for a nonce of `/api/v1/csr-nonces`."
    )
    silence_reason: str | None = Field(
        default=None, max_length=MAX_REASON, description="Why it is taken that a registry does not answer."
    )


class ReplacementBody(RenewalBody):
    """The new key, and why the old certificate is revoked."""

    reason: Literal["keyCompromise", "superseded", "unspecified"]


_PROBLEMS: Final = (
    *ISSUING,
    ErrorCode.STATE_ILLEGAL,
    ErrorCode.IDENTITY_DIFFERS,
    ErrorCode.REGISTRY_REFUSED,
    ErrorCode.REGISTRY_SILENT,
)
RENEW: Final = Operation(
    method="POST",
    path=PATH + "/{serial}/renewal",
    name="renewCertificate",
    summary="The successor",
    description="Renew a good certificate within its profile's window; it stays good beside its successor until it "
    "ends. The registries are asked again.",
    answer=IssuedAnswer,
    status=201,
    other_statuses={200: "The certificate that an earlier order of this key made"},
    body=RenewalBody,
    parameters=(IDEMPOTENCY_KEY,),
    problems=(*_PROBLEMS, ErrorCode.RENEWAL_TOO_EARLY),
    security=OFFICER,
)
REPLACE: Final = Operation(
    method="POST",
    path=PATH + "/{serial}/replacement",
    name="replaceCertificate",
    summary="The successor",
    description="Replace a certificate whose key is lost or in strangers' hands. The old one is revoked in the very "
    "transaction that records the new one; its list is published at once.",
    answer=IssuedAnswer,
    status=201,
    other_statuses={200: "The certificate that an earlier order of this key made"},
    body=ReplacementBody,
    parameters=(IDEMPOTENCY_KEY,),
    problems=_PROBLEMS,
    security=OFFICER,
)


def install(api: Api, services: Services) -> None:
    """Serve `/api/v1/certificates/{serial}/renewal` and `…/replacement`."""
    waiting = Places(RENEWING)

    def carry_out(serial: str, officer: Officer, body: RenewalBody, reason: RevocationReason | None) -> Response:
        wish = Wish(
            serial=serial,
            csr=csr_of(body.csr),
            reason=reason,
            key_proof=None if body.key_proof is None else proof_of(body.key_proof),
            silence_reason=body.silence_reason,
            channel=Channel.API,
            idempotency_key=idempotency_key(),
        )
        with waiting.taken():
            issued = installed(services.renewals).carry_out(wish, officer)
            if reason is not None and not issued.repeated:
                installed(services.publish_status)(serial)
        answer = json_response(issued_members(issued), status_of(issued))
        answer.headers["Location"] = f"{PATH}/{issued.serial_hex}"
        return answer

    def renew(officer: Officer, serial: str) -> Response:
        return carry_out(serial, officer, read_json(RenewalBody), None)

    def replace(officer: Officer, serial: str) -> Response:
        body = read_json(ReplacementBody)
        return carry_out(serial, officer, body, RevocationReason(body.reason))

    api.add(RENEW, renew)
    api.add(REPLACE, replace)
