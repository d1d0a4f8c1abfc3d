"""What a request should hold, for whoever writes it (RFC 7030 §4.5.2 in the form of RFC 9908 §3).

The file decides subject and alternative names; a client is told of the kind of key and the purposes only.
"""

from typing import Final

from ca.key_policy import KeyKind
from ca.profiles import CertificateProfile
from pki import der, oids

_CURVES: Final = {
    KeyKind.P256: (oids.SECP256R1, oids.ECDSA_WITH_SHA256),
    KeyKind.P384: (oids.SECP384R1, oids.ECDSA_WITH_SHA384),
}
_MODULI: Final = {KeyKind.RSA_3072: 3072, KeyKind.RSA_2048: 2048}


def csr_attributes(profile: CertificateProfile) -> bytes:
    """Return the CsrAttrs (DER) of a profile: the key it would rather have, purposes, whether it carries names."""
    parts = list(_key_attributes(profile.keys))
    if profile.extended_key_usage:
        purposes = der.sequence(*map(der.oid, profile.extended_key_usage))
        extension = der.sequence(der.oid(oids.EXTENDED_KEY_USAGE), der.octet_string(purposes))
        parts.append(_attribute(oids.EXTENSION_REQUEST, der.sequence(extension)))
    if profile.alternative_name:
        parts.append(der.oid(oids.SUBJECT_ALT_NAME))
    return der.sequence(*parts)


def _key_attributes(keys: frozenset[KeyKind]) -> tuple[bytes, ...]:
    for kind, (curve, algorithm) in _CURVES.items():
        if kind in keys:
            return _attribute(oids.EC_PUBLIC_KEY, der.oid(curve)), der.oid(algorithm)
    for kind, bits in _MODULI.items():
        if kind in keys:
            return _attribute(oids.RSA_ENCRYPTION, der.integer(bits)), der.oid(oids.SHA256_WITH_RSA)
    return ()


def _attribute(kind: str, value: bytes) -> bytes:
    return der.sequence(der.oid(kind), der.set_of([value]))
