"""The only way to a signed certificate: prepare (build, lint) → a single-use token → sign.

The token holds the to-be-signed bytes of a twin that passed the gate, and gives them away once. Whoever has no
token has nothing to sign; what was linted is what is signed.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ca.config import AuthoritySettings
from ca.errors import TokenSpent
from ca.key_policy import check_key
from ca.lint.findings import Finding
from ca.lint.gate import check_twin
from ca.signing import sign_apart, sign_structures
from ca.tbs import CertificateContent, Issuer, build_twin
from hsm.provider import KeyProvider
from pki.errors import ServiceError

TwinJudge = Callable[[bytes, str], tuple[Finding, ...]]
"""Judges a twin (DER) by what its profile (a name) asks for; LintFailed for a finding of ERROR or above."""


class IssuanceToken:
    """The right to have one linted to-be-signed certificate signed, once."""

    __slots__ = ("_tbs",)

    def __init__(self, tbs: bytes) -> None:
        self._tbs: bytes | None = tbs

    def spend(self) -> bytes:
        """Give the to-be-signed bytes away; TokenSpent the second time."""
        tbs, self._tbs = self._tbs, None
        if tbs is None:
            raise TokenSpent
        return tbs


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedCertificate:
    """A certificate that passed the gate and waits for its signature."""

    content: CertificateContent
    tbs_sha256: bytes
    token: IssuanceToken
    findings: tuple[Finding, ...]


def prepare(
    content: CertificateContent, settings: AuthoritySettings, lint_first: TwinJudge | None = None
) -> PreparedCertificate:
    """Check the key, build the twin and lint it; KeyRefused or LintFailed before any device key is touched.

    `lint_first` is an independent linter that is heard before the signature, beside our own rules.
    """
    check_key(content.public_key, content.profile.keys, known_bad=settings.refused_keys)
    twin = build_twin(content, settings)
    findings = check_twin(twin.der, content, settings)
    if lint_first is not None:
        lint_first(twin.der, content.profile.name)
    return PreparedCertificate(
        content=content,
        tbs_sha256=hashlib.sha256(twin.tbs).digest(),
        token=IssuanceToken(twin.tbs),
        findings=findings,
    )


def sign_prepared(
    prepared: Sequence[PreparedCertificate], keys: KeyProvider, key_label: str, issuer: Issuer
) -> tuple[bytes, ...]:
    """Spend the tokens and return the certificates, in order; all must be of `issuer`.

    The intents must be durable before. VerificationFailed when the device signs with another key.
    """
    return sign_structures(keys, key_label, issuer.public_key, _spent(prepared, issuer))


def sign_prepared_apart(
    prepared: Sequence[PreparedCertificate], keys: KeyProvider, key_label: str, issuer: Issuer
) -> tuple[bytes | ServiceError, ...]:
    """Sign as `sign_prepared`; a certificate that the device refuses takes none of the others with it."""
    return sign_apart(keys, key_label, issuer.public_key, _spent(prepared, issuer))


def _spent(prepared: Sequence[PreparedCertificate], issuer: Issuer) -> list[bytes]:
    if any(item.content.issuer is not issuer for item in prepared):
        raise ValueError("certificates of another issuer")
    return [item.token.spend() for item in prepared]
