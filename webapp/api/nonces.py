"""Nonces for requests of keys that are made on cards, for officers over mutual TLS."""

from datetime import datetime
from typing import Final

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from ca.officers.identity import Officer
from pki.errors import ErrorCode
from pki.instants import format_instant
from webapp.json_requests import read_json
from webapp.openapi import OFFICER, Api, Operation, json_response
from webapp.services import Services, installed


class NonceBody(BaseModel):
    """For which file a key is made."""

    model_config = ConfigDict(extra="forbid", strict=True)

    file: str = Field(min_length=1, max_length=64)


class NonceAnswer(BaseModel):
    """A nonce for one key's request."""

    id: str = Field(description="Names the nonce in an order's `key_proof`.")
    nonce: str = Field(description="The request's challenge password (RFC 2985 §5.4.1); shown once.")
    file: str
    expires_at: datetime


MAKE: Final = Operation(
    method="POST",
    path="/api/v1/csr-nonces",
    name="makeCsrNonce",
    summary="The nonce, shown once",
    description="Make a nonce that the request of one key of this file's holder carries. It lasts 15 minutes and "
    "makes one certificate.",
    answer=NonceAnswer,
    status=201,
    body=NonceBody,
    problems=(
        ErrorCode.NOT_FOUND,
        ErrorCode.NOT_APPROVED,
    ),
    security=OFFICER,
)


def install(api: Api, services: Services) -> None:
    """Serve `/api/v1/csr-nonces`."""

    def make(officer: Officer) -> Response:
        made = installed(services.nonces).make(read_json(NonceBody).file, officer)
        members = {"id": made.id, "nonce": made.nonce, "file": made.file_id}
        return json_response(members | {"expires_at": format_instant(made.expires_at)}, 201)

    api.add(MAKE, make)
