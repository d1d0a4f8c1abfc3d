"""Relying on a trust bundle: by the key that signed it, its number and its dates."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from pki.certificates import Certificate
from pki.errors import Conflict, ErrorCode, InvalidInput, ServiceError
from pki.instants import format_instant, parse_instant
from pki.jose import compact_json, json_object
from signer.parsers import jws
from signer.parsers.jades import parse_jws
from signer.parsers.model import ParsedSignature
from signer.trust.bundle import MAX_BUNDLE_OCTETS, MEDIA_TYPE, TrustBundle, parse_payload, refused
from signer.validation.crypto import check_crypto, identify_signer, value_hash
from signer.validation.moment import Moment, weak_hash, weak_key
from signer.validation.policy import AlgorithmPolicy
from signer.validation.verdict import Crypto

CLOCK_SKEW: Final = timedelta(minutes=5)
KEPT: Final = "mohr-trust-kept/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedBundle:
    """A bundle whose signature holds; whether its signer may sign bundles is asked of `by`."""

    bundle: TrustBundle
    signer: Certificate
    octets: bytes = field(repr=False)

    def by(self, keys: frozenset[str]) -> "SignedBundle":
        """Return it if one of these keys signed it; InvalidInput (`trust-refused`) otherwise."""
        if self.signer.spki_sha256.hex() not in keys:
            raise refused("signer", f"{self.signer.spki_sha256.hex()} is no key that may sign it")
        return self

    @property
    def next_signers(self) -> frozenset[str]:
        """The keys that may sign the next bundle."""
        return self.bundle.signers or frozenset((self.signer.spki_sha256.hex(),))


def read_bundle(data: bytes, now: datetime) -> SignedBundle:
    """Read a bundle and check its signature; InvalidInput (`trust-refused`) names what is wrong with it.

    `now`: bundles of the future are refused; an outdated one is not, its readers are told.
    """
    if len(data) > MAX_BUNDLE_OCTETS:
        raise refused("limits", f"it is larger than {MAX_BUNDLE_OCTETS} octets")
    signature, media_type = _only_signature(data)
    if media_type != MEDIA_TYPE:
        raise refused("format", f"it is not signed as {MEDIA_TYPE}")
    signer = _signer(signature, now)
    payload = b"".join(piece for item in signature.objects for piece in item.octets or ())
    bundle = parse_payload(payload)
    if bundle.issued > now + CLOCK_SKEW:
        raise refused("future", f"it is issued on {format_instant(bundle.issued)}")
    return SignedBundle(bundle=bundle, signer=signer, octets=data)


def _only_signature(data: bytes) -> tuple[ParsedSignature, object]:
    try:
        parsed = parse_jws(data, None)
        media_type = jws.read(jws.split(data)[0]).header.get("cty")
    except ServiceError as error:
        raise refused("form", error.detail) from error
    first = parsed.signatures[0]
    if len(parsed.signatures) != 1 or not isinstance(first, ParsedSignature) or first.defects:
        raise refused("signature", "it is not signed once, in the form of JAdES")
    return first, media_type


def _signer(signature: ParsedSignature, now: datetime) -> Certificate:
    """Return the certificate whose key made the signature, with algorithms that are relied on now."""
    identified = identify_signer(signature, ())
    certificate = identified.certificate
    if certificate is None or identified.findings:
        raise refused("signature", "it does not name its signer")
    if check_crypto(signature, certificate).crypto is not Crypto.INTACT:
        raise refused("signature", "its signature does not hold")
    table, moment = AlgorithmPolicy(), Moment(at=now)
    weak = (*weak_hash(table, value_hash(signature), moment, ""), *weak_key(table, certificate, moment, ""))
    if weak:
        raise refused("signature", f"it is signed with a weak algorithm: {weak[0].detail}")
    return certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptBundle:
    """The bundle that a verifier relies on: what a later one must continue."""

    signed: SignedBundle
    accepted: datetime

    def octets(self) -> bytes:
        """Write the file that keeps it."""
        members = {
            "format": KEPT,
            "signer": self.signed.signer.spki_sha256.hex(),
            "accepted": format_instant(self.accepted),
            "bundle": self.signed.octets.decode(),
        }
        return compact_json(members)

    def followed_by(self, signed: SignedBundle, now: datetime) -> "KeptBundle":
        """Return the same with a later bundle; the same one again changes nothing.

        Conflict (`trust-rollback`) for an earlier number, for other content under the same one, and for another
        series.
        """
        ours, theirs = self.signed.bundle, signed.bundle
        if theirs.name != ours.name:
            raise _rollback(f"it is of the series {theirs.name}, and {ours.name} is kept")
        if theirs.sequence < ours.sequence or theirs.issued < ours.issued:
            raise _rollback(f"its sequence is {theirs.sequence}, and {ours.sequence} is kept")
        if theirs == ours:
            return self
        if theirs.sequence == ours.sequence:
            raise _rollback(f"another bundle of sequence {ours.sequence} is kept")
        return KeptBundle(signed=signed, accepted=now)


def _rollback(detail: str) -> Conflict:
    return Conflict(ErrorCode.TRUST_ROLLBACK, f"trust.sequence: {detail}", reason="trust.sequence")


def is_kept(data: bytes) -> bool:
    """Whether octets are those of a file that keeps a bundle, and not of a bundle."""
    return data.startswith(b'{"format":"' + KEPT.encode())


def read_kept(data: bytes, now: datetime) -> KeptBundle:
    """Read the file that keeps a bundle; InvalidInput (`trust-refused`) for one that was changed."""
    try:
        members = json_object(data)
        if members.keys() != {"format", "signer", "accepted", "bundle"} or members["format"] != KEPT:
            raise refused("form", "not a file that keeps a bundle")
        if not all(isinstance(value, str) for value in members.values()):
            raise refused("form", "a member is no text")
        accepted = parse_instant(members["accepted"])
    except InvalidInput as error:
        if error.code is ErrorCode.TRUST_REFUSED:
            raise
        raise refused("form", error.detail) from error
    signed = read_bundle(members["bundle"].encode(), now)
    return KeptBundle(signed=signed.by(frozenset((members["signer"],))), accepted=accepted)
