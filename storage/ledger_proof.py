"""What a receipt carries: one event and the proof that it is in the ledger under a signed checkpoint.

Standard library and `pki` only, so whoever holds a receipt can check it alone.
"""

from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from pki.errors import ErrorCode, InvalidInput
from pki.jose import b64url, strict_json, unb64url
from pki.merkle import leaf_hash, verify_inclusion
from pki.notes import Checkpoint, VerifierKey, open_checkpoint
from storage.ledger_entries import entry_of

MAX_PROOF_OCTETS: Final = 1_048_576
_KINDS: Final = {"v": int, "event": str, "salt": str, "seq": int, "hashes": list, "checkpoint": str}


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerProof:
    """The canonical `event`, its `salt`, its place `seq`, the sibling `hashes` and the `checkpoint` note."""

    event: bytes
    salt: bytes
    seq: int
    hashes: tuple[bytes, ...]
    checkpoint: str

    def as_json(self) -> dict[str, object]:
        """Return the members of the JSON form; octets are base64url, `event` among them: its octets count."""
        return {
            "v": 1,
            "event": b64url(self.event),
            "salt": b64url(self.salt),
            "seq": self.seq,
            "hashes": [b64url(value) for value in self.hashes],
            "checkpoint": self.checkpoint,
        }


def _refuse() -> InvalidInput:
    return InvalidInput(ErrorCode.JSON_MALFORMED, "not a ledger proof")


def parse_proof(data: bytes) -> LedgerProof:
    """Read the JSON form; InvalidInput when it is malformed. Nothing is verified."""
    if len(data) > MAX_PROOF_OCTETS:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, "longer than a ledger proof may be")
    members: Any = strict_json(data)
    if not isinstance(members, dict) or members.keys() != _KINDS.keys():
        raise _refuse()
    # `type`, not `isinstance`: true is no number here
    if any(type(members[name]) is not kind for name, kind in _KINDS.items()) or members["v"] != 1:
        raise _refuse()
    if not all(isinstance(value, str) for value in members["hashes"]):
        raise _refuse()
    return LedgerProof(
        event=unb64url(members["event"]),
        salt=unb64url(members["salt"]),
        seq=members["seq"],
        hashes=tuple(unb64url(value) for value in members["hashes"]),
        checkpoint=members["checkpoint"],
    )


def verify_proof(proof: LedgerProof, public_key: Ed25519PublicKey, origin: str) -> Checkpoint:
    """Check that the event is in the ledger `origin` under a checkpoint that `public_key` signed; return that.

    InvalidInput when something is malformed, VerificationFailed when the proof does not hold.
    """
    checkpoint = open_checkpoint(proof.checkpoint, VerifierKey(name=origin, public_key=public_key))
    leaf = leaf_hash(entry_of(proof.event, proof.salt))
    verify_inclusion(leaf, proof.seq, checkpoint.size, proof.hashes, checkpoint.root)
    return checkpoint
