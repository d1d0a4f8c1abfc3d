"""Finding the issuer of the card's certificate, to send it along with a signature."""

import urllib.error
import urllib.request
from collections.abc import Sequence

from pki.certificates import MAX_CERTIFICATE_OCTETS, Certificate, load_certificates
from pki.errors import ServiceError

FETCH_SECONDS = 5


def _fetch(url: str) -> tuple[Certificate, ...]:
    if not url.startswith("http://"):
        return ()
    try:
        with urllib.request.urlopen(url, timeout=FETCH_SECONDS) as answer:  # noqa: S310 - scheme checked above
            return load_certificates(answer.read(MAX_CERTIFICATE_OCTETS + 1))
    except (OSError, urllib.error.URLError, ServiceError):
        return ()  # a chain without its intermediate is still a signature; a verifier can fetch it


def chain_of(leaf: Certificate, given: Sequence[Certificate]) -> tuple[Certificate, ...]:
    """Return `leaf` with its issuer, from `given` or from where the certificate says (RFC 5280 §4.2.2.1)."""
    candidates = [*given, *(found for url in leaf.issuer_urls for found in _fetch(url))] if not given else list(given)
    for candidate in candidates:
        if candidate.subject_der == leaf.issuer_der:
            try:
                leaf.verify_signed_by(candidate)
            except ServiceError:
                continue
            return (leaf, candidate)
    return (leaf,)
