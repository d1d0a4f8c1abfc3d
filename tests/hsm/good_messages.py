"""Messages within the limits of a key, now; and the rule and limits that they keep."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

from hsm.custodian.limits import KeyLimits
from hsm.custodian.purposes import SigningRule
from hsm.provider import KeyPurpose, spki_of
from hsm.soft import UnsafeSoftKey
from pki import der, oids
from pki.jose import compact_json
from pki.keys import SignatureAlgorithm
from tests.hsm import messages as m

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
DAY = timedelta(days=1)
OWN_SPKI = spki_of(UnsafeSoftKey.generate(SignatureAlgorithm.ES256).public_key())
OTHER_SPKI = spki_of(UnsafeSoftKey.generate(SignatureAlgorithm.ES256).public_key())
TOKEN_ISSUER = "https://mohr.example"

EXTENSIONS = (
    m.basic_constraints(ca=False),
    m.key_usage(0x80),
    m.extension(oids.AUTHORITY_KEY_IDENTIFIER, der.sequence(der.context(0, bytes(20), constructed=False))),
    m.extension(oids.SUBJECT_KEY_IDENTIFIER, der.octet_string(bytes(20))),
    m.extension(oids.EXTENDED_KEY_USAGE, der.sequence(der.oid(oids.EKU_CLIENT_AUTH))),
)
LIST_EXTENSIONS = (m.extension(oids.CRL_NUMBER, der.integer(7)),)
_NAMES = frozenset(
    {
        oids.BASIC_CONSTRAINTS,
        oids.KEY_USAGE,
        oids.AUTHORITY_KEY_IDENTIFIER,
        oids.SUBJECT_KEY_IDENTIFIER,
        oids.EXTENDED_KEY_USAGE,
    }
)
LIMITS = KeyLimits(
    backdate_seconds=900,
    ahead_seconds=60,
    certificate_seconds=365 * 86_400,
    allowed_extensions=_NAMES,
    required_extensions=frozenset({oids.AUTHORITY_KEY_IDENTIFIER, oids.SUBJECT_KEY_IDENTIFIER}),
    allowed_key_purposes=frozenset({oids.EKU_CLIENT_AUTH}),
    crl_seconds=2 * 86_400,
    ocsp_seconds=86_400,
    timestamp_tolerance_ms=1000,
    timestamp_policies=frozenset({m.TIMESTAMP_POLICY}),
    token_seconds=600,
    token_issuer=TOKEN_ISSUER,
)
ALL_REQUIRED = KeyLimits(required_extensions=_NAMES)


def rule(purpose: KeyPurpose = KeyPurpose.CERTIFICATE_AUTHORITY) -> SigningRule:
    return SigningRule(
        purpose=purpose,
        algorithm=SignatureAlgorithm.ES256,
        spki_der=OWN_SPKI,
        issuer_der=m.ISSUER,
        issuer_spki_der=OWN_SPKI,
    )


def certificate(
    *,
    serial: bytes = m.SERIAL,
    validity: bytes = der.sequence(der.time(NOW), der.time(NOW + 90 * DAY)),
    extensions: tuple[bytes, ...] = EXTENSIONS,
) -> bytes:
    return m.tbs_certificate(OTHER_SPKI, serial=serial, validity=validity, extensions=extensions)


def revocation_list(
    *,
    this_update: bytes = der.time(NOW),
    next_update: bytes = der.time(NOW + 2 * DAY),
    entries: bytes = b"",
    extensions: tuple[bytes, ...] = LIST_EXTENSIONS,
) -> bytes:
    return m.tbs_cert_list(this_update=this_update, next_update=next_update, entries=entries, extensions=extensions)


def single(
    *,
    hashed: str = "sha1",
    issuer: bytes = m.ISSUER,
    spki: bytes = OWN_SPKI,
    this: datetime = NOW,
    following: datetime | None = NOW + DAY,
) -> bytes:
    bits = der.parse(spki).sequence()[1].bits()
    algorithm = der.sequence(der.oid({"sha1": oids.SHA1, "sha256": oids.SHA256}[hashed]), der.null())
    hashes = (der.octet_string(hashlib.new(hashed, data, usedforsecurity=False).digest()) for data in (issuer, bits))
    update = b"" if following is None else der.context(0, der.generalized_time(following))
    good = der.context(0, constructed=False)
    return der.sequence(der.sequence(algorithm, *hashes, m.SERIAL), good, der.generalized_time(this), update)


def response(*singles: bytes, produced: datetime = NOW) -> bytes:
    return m.response_data(*(singles or (single(),)), produced_at=der.generalized_time(produced))


def stamp(*rest: bytes, generated: datetime = NOW, **changes: bytes) -> bytes:
    return m.tst_info(*rest, generated=der.generalized_time(generated, fraction=True), **changes)  # type: ignore[arg-type]  # the names differ in type


def token(**claims: object) -> bytes:
    at = int(NOW.timestamp())
    stated = {"iss": TOKEN_ISSUER, "iat": at, "exp": at + 600} | claims
    payload = compact_json({name: value for name, value in stated.items() if value is not None})
    return m.jws({"alg": "ES256", "typ": "at+jwt"}, payload)
