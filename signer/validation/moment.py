"""The time a signature is judged at, and what has a best-before date at that time: algorithms, certificates."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from pki.certificates import Certificate
from pki.signatures import signature_hash
from signer.parsers.model import UNREADABLE
from signer.validation.policy import AlgorithmPolicy
from signer.validation.reasons import Reason
from signer.validation.verdict import Finding, SubIndication, failed, indeterminate


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """The earliest instant at which something surely existed: proven, or else the validation time."""

    at: datetime
    proven: bool = False


def weak_hash(policy: AlgorithmPolicy, hash_oid: str | None, moment: Moment, about: str) -> Iterator[Finding]:
    """Yield a finding when a hash was no longer reliable at the moment (EN 319 102-1 §5.2.8.4)."""
    if hash_oid is not None:
        yield from _after(policy.hash_end(hash_oid), moment, f"hash {hash_oid}", about, policy.never)


def weak_key(policy: AlgorithmPolicy, certificate: Certificate, moment: Moment, about: str) -> Iterator[Finding]:
    """Yield a finding when a key's size was no longer reliable at the moment."""
    try:
        key = certificate.foreign_key
    except UNREADABLE:
        return  # an unsupported key is reported where its signature is checked
    end = policy.key_end(key)
    if end is not None:
        what = f"{type(key).__name__.strip('_')} {getattr(key, 'key_size', 0)}"
        yield from _after(end, moment, what, about, policy.never)


def weak_chain(policy: AlgorithmPolicy, chain: tuple[Certificate, ...], moment: Moment) -> Iterator[Finding]:
    """Yield findings for every signature of a path below its anchor, and for every key in it."""
    for certificate in chain:
        about = f"certificate {certificate.serial_hex}"
        yield from weak_key(policy, certificate, moment, about)
        if certificate is not chain[-1]:
            yield from weak_hash(policy, hash_of(certificate), moment, about)


def reliable_until(policy: AlgorithmPolicy, hash_oid: str | None, signer: Certificate) -> datetime | None:
    """Return when a signature with a hash and a signer's key stops being reliable; None: no end is known."""
    ends = [None if hash_oid is None else policy.hash_end(hash_oid)]
    with suppress(*UNREADABLE):
        ends.append(policy.key_end(signer.public_key))
    return min((end for end in ends if end is not None), default=None)


def hash_of(certificate: Certificate) -> str | None:
    """Return the OID of the hash in a certificate's signature; None when it is unknown."""
    try:
        return signature_hash(certificate.signature_algorithm)
    except UNREADABLE:
        return None


def _after(end: datetime | None, moment: Moment, what: str, about: str, never: datetime) -> Iterator[Finding]:
    if end is None or moment.at <= end:
        return
    # Without proof it may have been made while the algorithm was still good (row "no POE").
    settled = moment.proven or end == never
    sub = SubIndication.CRYPTO_CONSTRAINTS_FAILURE if settled else SubIndication.CRYPTO_CONSTRAINTS_FAILURE_NO_POE
    yield indeterminate(Reason.ALGORITHM_WEAK, sub, what, about)


def validity_findings(chain: tuple[Certificate, ...], moment: Moment) -> Iterator[Finding]:
    """Yield findings for certificates that were not valid at the moment; an issuing anchor is exempt.

    RFC 5280 §6.1.1 d takes an anchor's name and key alone. A leaf trusted directly is checked all the same.
    """
    checked = chain if len(chain) == 1 else chain[:-1]
    for certificate in checked:
        about = f"certificate {certificate.serial_hex}"
        if moment.at > certificate.not_after:
            detail = f"not after {certificate.not_after.isoformat()}"
            yield indeterminate(Reason.CERTIFICATE_EXPIRED, SubIndication.OUT_OF_BOUNDS_NO_POE, detail, about)
        elif moment.at < certificate.not_before:
            detail = f"not before {certificate.not_before.isoformat()}"
            make = failed if moment.proven and certificate is chain[0] else indeterminate
            yield make(Reason.CERTIFICATE_NOT_YET_VALID, SubIndication.NOT_YET_VALID, detail, about)
