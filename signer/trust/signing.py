"""Signing a trust bundle: apart from relying on one, which needs no key and no time-stamping client."""

from collections.abc import Sequence

from pki.certificates import Certificate
from pki.keys import SigningKey
from signer.formats.jades import sign_jades
from signer.trust.bundle import MEDIA_TYPE, TrustBundle, parse_payload
from signer.trust.signed import read_bundle


def sign_bundle(bundle: TrustBundle, key: SigningKey, chain: Sequence[Certificate]) -> bytes:
    """Sign a bundle as JAdES; InvalidInput for one that its readers would refuse."""
    payload = bundle.payload()
    parse_payload(payload)
    octets = sign_jades(payload, key, chain, signed_at=bundle.issued, content_type=MEDIA_TYPE)
    return read_bundle(octets, bundle.issued).octets
