"""What every parser yields: signatures and time-stamps as neutral values, whatever file they came from.

The policy engine sees only these. Bytes are the sender's own; nothing here was re-serialised.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from typing import Final

from pki import der
from pki.certificates import Certificate
from pki.errors import ServiceError
from signer.validation.reasons import Reason

MAX_SIGNATURES: Final = 50
MAX_COUNTER_SIGNATURES: Final = 16
MAX_COUNTER_DEPTH: Final = 3  # of signatures on signatures on signatures
MAX_TIMESTAMPS: Final = 32
MAX_DIGESTED_OCTETS: Final = 1 << 30
"""What all signatures and time-stamps of a file together may have hashed: the same octets count for each of them."""

UNREADABLE: Final = (ServiceError, IndexError, ValueError)
"""What reading a stranger's structure raises when a part is malformed, missing or too many."""

Octets = tuple[bytes | memoryview, ...]
"""Octets in pieces, so that a large file is hashed where it lies."""


@unique
class Format(StrEnum):
    """Signature formats by the names that reports use."""

    JADES = "JAdES"
    CMS = "CMS"
    CADES = "CAdES"
    PADES = "PAdES"
    TIMESTAMP = "RFC3161"
    XADES = "XAdES"
    ASIC = "ASiC"
    COSE = "COSE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something a parser saw: a code, a technical detail for the report, and which object it is about."""

    reason: Reason
    detail: str = ""
    about: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedObject:
    """Octets that a signature covers; `octets` is None when they are not in the file and were not given.

    `expected` is the digest the signature vouches for under `digest_oid`; None when the signature value
    itself covers the octets.
    """

    what: str
    octets: Octets | None
    digest_oid: str | None = None
    expected: bytes | None = None
    ranges: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateReference:
    """A signed reference to the signing certificate: its digest under a hash given by OID."""

    digest_oid: str
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyReference:
    """The signature policy that a signer names: its OID or URI, and its document's digest (None: not given).

    `name` is None where the signer says that the policy follows from the context.
    """

    name: str | None
    digest: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerHint:
    """What an unsigned identifier says about the signing certificate.

    `key_id`: octets computed from the certificate or its key. `any_key`: nothing but the verifier's own
    certificates tells whose key signed.
    """

    issuer_der: bytes | None = None
    serial: int | None = None
    key_identifier: bytes | None = None
    certificate: Certificate | None = None
    key_id: bytes | None = None
    any_key: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelEvidence:
    """What the container carries beyond the signature: the ground for B, T, LT and LTA."""

    baseline: bool = False
    certificate_values: bool = False
    revocation_values: bool = False
    archive_timestamp: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentClaims:
    """What signed content says of itself: when it is good, and the document that it belongs to (RFC 8392 §3.1).

    `prescribes`: it is a prescription, or a prescription's code.
    """

    identifier: bytes | None = None
    issued_at: datetime | None = None
    not_before: datetime | None = None
    expires_at: datetime | None = None
    document_sha256: bytes | None = None
    prescribes: bool = False


@unique
class TimestampKind(StrEnum):
    """What a time-stamp token stamps."""

    SIGNATURE = "signature"
    CONTENT = "content"
    ARCHIVE = "archive"
    REFERENCES = "references"
    DOCUMENT = "document"
    TOKEN = "token"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedSignature:
    """One signature, ready to be judged.

    `signed_bytes` is what the signature value covers (signed attributes, JWS signing input …), in the
    spellings to try in order; `signature` is X.509-encoded. `defects` make the format fail, `notes` do not.
    """

    id: str
    format: Format
    algorithm: der.Node
    algorithm_name: str
    digest_oid: str | None
    curve: str | None = None
    signature: bytes
    signed_bytes: tuple[bytes, ...]
    objects: tuple[SignedObject, ...]
    content_type: str | None = None
    certificates: tuple[Certificate, ...] = ()
    hint: SignerHint = SignerHint()
    references: tuple[CertificateReference, ...] = ()
    bound: bool = False
    policy: PolicyReference | None = None
    claimed_at: datetime | None = None
    claims: ContentClaims | None = None
    timestamps: "tuple[ParsedTimestamp, ...]" = ()
    crls: tuple[bytes, ...] = ()
    ocsp_responses: tuple[bytes, ...] = ()
    counter_signatures: "tuple[ParsedSignature | UnreadableSignature, ...]" = ()
    level: LevelEvidence = LevelEvidence()
    defects: tuple[Note, ...] = ()
    notes: tuple[Note, ...] = ()

    @property
    def values(self) -> frozenset[bytes]:
        """The DER of the certificates, lists and OCSP responses that travel with it and with its time-stamps."""
        own = (*(one.der for one in self.certificates), *self.crls, *self.ocsp_responses)
        stamped = (stamp.token.signature.values for stamp in self.timestamps if stamp.token is not None)
        return frozenset(own).union(*stamped)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimestampToken:
    """What an RFC 3161 token says, with its authority's signature as one more signature to judge."""

    generated_at: datetime
    imprint_oid: str
    imprint: bytes
    serial: int
    policy: str
    signature: ParsedSignature


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedTimestamp:
    """A token in its place: `imprinted` is what it must stamp (None: not computed), `covers` what it proves.

    `covers` holds ids of signatures and time-stamps that existed when it was made, `values` the DER of certificates,
    lists and OCSP responses, and `hashes` the hashes that this rests on beside the imprint's. `token` is None when it
    cannot be read; `defects` then, or otherwise, keep it from proving anything.
    """

    id: str
    kind: TimestampKind
    token: TimestampToken | None
    imprinted: Octets | None
    covers: frozenset[str] = frozenset()
    values: frozenset[bytes] = frozenset()
    hashes: tuple[str, ...] = ()
    defects: tuple[Note, ...] = ()

    @property
    def place(self) -> tuple[str, TimestampKind, frozenset[str]]:
        """Tell the same token at one place of the file from itself at another."""
        return self.id, self.kind, self.covers


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableSignature:
    """A signature that is there but cannot be judged; `foreign` when its format is merely not supported."""

    id: str
    format: Format
    note: Note
    foreign: bool = False


def with_counters(signatures: "Iterable[ParsedSignature | UnreadableSignature]") -> Iterator[ParsedSignature]:
    """Yield every signature that can be judged, each followed by its counter-signatures."""
    for signature in signatures:
        if isinstance(signature, ParsedSignature):
            yield signature
            yield from with_counters(signature.counter_signatures)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedFile:
    """Everything found in one file."""

    format: Format
    signatures: tuple[ParsedSignature | UnreadableSignature, ...] = ()
    timestamps: tuple[ParsedTimestamp, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    crls: tuple[bytes, ...] = ()
    ocsp_responses: tuple[bytes, ...] = ()
    notes: tuple[Note, ...] = ()
