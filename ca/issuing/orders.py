"""What is asked of the issuing line, and what it gives back."""

from dataclasses import dataclass, field
from enum import StrEnum, unique
from hashlib import sha256
from typing import Any, Final

from ca.issuance import TwinJudge
from ca.issuing.key_proofs import KeyProof
from ca.issuing.succession import Succession
from ca.officers.identity import Officer
from ca.status.revocation import CertificateState
from pki.errors import ErrorCode, InvalidInput
from pki.jose import canonical_json

MAX_KEY: Final = 128


def malformed_key() -> InvalidInput:
    """Return the refusal of what is no idempotency key."""
    detail = f"an idempotency key is one value of 1 to {MAX_KEY} ASCII characters"
    return InvalidInput(ErrorCode.INPUT_MALFORMED, detail, reason="request.idempotency-key")


@unique
class Channel(StrEnum):
    """The way by which an order came."""

    CLI = "cli"
    API = "api"
    EST = "est"
    BULK = "bulk"
    TOKEN = "token"
    SERVICE = "service"


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueOrder:
    """One certificate asked for: which profile, for whom (a registration file), for which key (DER or PEM CSR).

    `actor` is who asks, authenticated. Where that is an officer, `officer` is asked for leave in the transaction that
    writes the intent; a signed statement names the file and `body_digest`. Orders of one actor with one
    `idempotency_key` (1 to 128 printable ASCII characters) make one certificate; `key_digest` is the SHA-256 that
    stands for actor and key together, None without a key. `unapproved` is the pilot switch: it skips the approvals and
    is marked in the certificate's policy. `lint_first` is an independent linter that is heard before the signature, not
    soon after. `succession` says which certificate it renews or replaces, `key_proof` what a personalisation station
    states of the key.
    """

    profile: str
    file_id: str
    csr: bytes = field(repr=False)
    actor: str
    officer: Officer | None = field(default=None, repr=False)
    channel: Channel = Channel.CLI
    idempotency_key: str | None = field(default=None, repr=False)
    unapproved: bool = False
    succession: Succession | None = None
    lint_first: TwinJudge | None = field(default=None, repr=False)
    key_proof: KeyProof | None = None
    key_digest: bytes | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.officer is not None and self.officer.id != self.actor:
            raise ValueError("an officer orders in their own name")
        key = self.idempotency_key
        if key is not None and not (1 <= len(key) <= MAX_KEY and key.isascii() and key.isprintable()):
            raise malformed_key()
        digest = None if key is None else sha256(canonical_json({"actor": self.actor, "key": key})).digest()
        object.__setattr__(self, "key_digest", digest)

    @property
    def body_digest(self) -> bytes:
        """SHA-256 of everything that decides what the certificate will be."""
        members: dict[str, Any] = {
            "profile": self.profile,
            "file": self.file_id,
            "csr": sha256(self.csr).hexdigest(),
            "unapproved": self.unapproved,
        }
        if self.succession is not None:
            members |= {"succession": self.succession.members}
        if self.key_proof is not None:
            members["key_proof"] = {"nonce": self.key_proof.nonce_id, "card": self.key_proof.card}
        return sha256(canonical_json(members)).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate that is signed and recorded; `repeated` when an earlier order of the same key made it.

    In the state `issued` it waits for its holder, and is told as on hold until then.
    """

    der: bytes = field(repr=False)
    serial_hex: str
    issuer: str
    state: CertificateState = CertificateState.GOOD
    repeated: bool = False
