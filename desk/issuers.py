"""The issuers of the card's certificate, to send them along with a signature.

What a signer's certificate names as its issuer's address is fetched as a verifier would fetch it: no redirects, no
proxies, bounded in size, and all of it within one deadline. What comes back counts only if it signed the certificate.
"""

from collections.abc import Sequence
from typing import Final

from pki.certificates import Certificate
from pki.errors import ErrorCode, NotFound, ServiceError
from signer.validation.status_online import OnlineStatus

FETCH_SECONDS: Final = 5.0
MAX_CHAIN: Final = 5


def chain_of(
    leaf: Certificate, given: Sequence[Certificate], *, seconds: float = FETCH_SECONDS
) -> tuple[Certificate, ...]:
    """Return `leaf` and the authorities above it, nearest first, without the root.

    They are sought among `given`; NotFound when the issuer is not there. With nothing given, the issuer is fetched
    from where `leaf` says (RFC 5280 §4.2.2.1): one that is silent is left out, as a verifier can ask again.
    """
    candidates = given or OnlineStatus(timeout=seconds, budget=seconds).issuers(leaf)
    chain = [leaf]
    issuer = _issuer_of(leaf, candidates)
    if given and issuer is None:
        raise NotFound(ErrorCode.NOT_FOUND, "the issuer of the card's certificate is not among those given")
    while issuer is not None and not issuer.self_issued and issuer not in chain and len(chain) < MAX_CHAIN:
        chain.append(issuer)
        issuer = _issuer_of(issuer, candidates)
    return tuple(chain)


def _issuer_of(certificate: Certificate, candidates: Sequence[Certificate]) -> Certificate | None:
    return next((each for each in candidates if _issued(each, certificate)), None)


def _issued(issuer: Certificate, certificate: Certificate) -> bool:
    if issuer.subject_der != certificate.issuer_der:
        return False
    try:
        certificate.verify_signed_by(issuer)
    except ServiceError:
        return False
    return True
