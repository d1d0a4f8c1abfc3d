"""The steps that a script may ask for, and how each of their members is written.

The grammar is stable: a member is never renamed or given another meaning, and new ones are optional. Files
are named without a folder; they lie in the ceremony's own.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum, unique
from types import MappingProxyType
from typing import Any, Final

from ca.profiles import ISSUING_AUTHORITIES, IssuerName
from ca.status.revocation import RevocationReason
from hsm.provider import KeyPurpose
from pki.errors import ServiceError
from pki.identity import parse_name
from pki.instants import parse_instant
from pki.keys import SignatureAlgorithm

SERVICE: Final = "service"  # the token of the running service
OWN_FILES: Final = frozenset({"script.toml", "transcript.jsonl"})
DEFAULT_RSA_BITS: Final = 3072


@unique
class PinCustody(StrEnum):
    """Who knows a token's PIN once it is made."""

    SHARES = "shares"
    FILE = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeToken:
    """Make a SoftHSM2 token; its random PIN is split among the custodians, or kept in the service's PIN file."""

    token: str
    label: str
    pin: PinCustody


@dataclass(frozen=True, slots=True, kw_only=True)
class UseToken:
    """Use a token that is there: one of this home, or a vendor's by module and label."""

    token: str
    label: str
    module: str | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlock:
    """Collect the shares or the PIN of a token now; steps that need the token and find it locked do so too."""

    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateKey:
    """Generate a key that never leaves its token."""

    token: str
    key: str
    algorithm: SignatureAlgorithm
    purpose: KeyPurpose
    bits: int = DEFAULT_RSA_BITS


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestCertificate:
    """Write a PKCS#10 request (RFC 2986) for a key, to be carried to a parent CA.

    `authority` asks for what that authority of the deployment needs its certificate to say.
    """

    token: str
    key: str
    subject: tuple[tuple[str, str], ...]
    file: str
    authority: IssuerName | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallCertificate:
    """Take the certificate that a parent CA issued for a key; `authority` makes it that authority's own."""

    token: str
    key: str
    certificate: str
    chain: str
    authority: IssuerName | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CertifyRoot:
    """Sign the pilot root's own certificate."""

    token: str
    key: str
    common_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CertifyAuthority:
    """Have the pilot root certify the key of one of this deployment's issuing authorities."""

    token: str
    authority: IssuerName
    authority_token: str
    common_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CertifyRequest:
    """Have the pilot root certify an issuing key of a second site, from its request."""

    token: str
    request: str
    certificate: str
    authority: IssuerName
    common_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeAuthority:
    """Revoke an issuing CA's certificate, by `authority` or `serial`; the next root list says so."""

    token: str
    reason: RevocationReason
    authority: IssuerName | None = None
    serial: str | None = None
    invalidity_date: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignRootList:
    """Sign the root's next revocation list and publish it."""

    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadAloud:
    """Read a fingerprint aloud: of a `certificate` file, of an `authority`'s certificate, or of a `key`."""

    certificate: str | None = None
    authority: IssuerName | None = None
    token: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDeployment:
    """Make what the service's own keys can sign by themselves, publish everything, and open the deployment."""


Step = (
    MakeToken
    | UseToken
    | Unlock
    | GenerateKey
    | RequestCertificate
    | InstallCertificate
    | CertifyRoot
    | CertifyAuthority
    | CertifyRequest
    | RevokeAuthority
    | SignRootList
    | ReadAloud
    | OpenDeployment
)

# --- how members are written: each reader returns the value or raises ValueError with what it wants -----------

Reader = Callable[[object], Any]


def text(value: object) -> str:
    """A line of text for people, normalised as names in certificates are."""
    if not isinstance(value, str):
        raise ValueError("is text")  # noqa: TRY004 - a reader has one way to say no
    try:
        normal = parse_name(value)
    except ServiceError as error:
        raise ValueError(f"is a line of text ({error.detail})") from error
    if normal != value:
        raise ValueError("is a line of text with single spaces and Latin digits")
    return value


def _matching(pattern: str, what: str) -> Reader:
    form = re.compile(pattern)

    def read(value: object) -> str:
        if not isinstance(value, str) or not form.fullmatch(value):
            raise ValueError(what)
        return value

    return read


def _one_of(kind: type[StrEnum], *allowed: StrEnum) -> Reader:
    found = allowed or tuple(kind)

    def read(value: object) -> StrEnum:
        if not isinstance(value, str) or value not in {member.value for member in found}:
            raise ValueError(f"is one of {', '.join(member.value for member in found)}")
        return kind(value)

    return read


def _file(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", value) or value in OWN_FILES:
        raise ValueError("is the name of a file in the ceremony's folder: letters, digits, dots, hyphens")
    return value


def _bits(value: object) -> int:
    if type(value) is not int or value not in (3072, 4096):
        raise ValueError("is 3072 or 4096")
    return value


def _instant(value: object) -> datetime:
    try:
        return parse_instant(value if isinstance(value, str) else "")
    except ServiceError as error:
        raise ValueError('is an instant in quotes, like "2026-11-22T09:00:00Z"') from error


def _environment(value: object) -> Mapping[str, str]:
    if not isinstance(value, dict) or not all(isinstance(member, str) for member in value.values()):
        raise ValueError("is a table of texts")
    return MappingProxyType(dict(value))


_ATTRIBUTES: Final = ("C", "O", "OU", "CN")


def _subject(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict) or not value.keys() <= set(_ATTRIBUTES) or not value.get("CN"):
        raise ValueError("is a table with CN and, if wanted, C, O and OU")
    country = value.get("C", "IR")
    if not isinstance(country, str) or not re.fullmatch(r"[A-Z]{2}", country):
        raise ValueError("has a country C of two capital letters")
    return tuple((name, text(value[name])) for name in _ATTRIBUTES if name in value)


_NAME = _matching(r"[a-z0-9][a-z0-9-]{0,31}", "is 1 to 32 small letters, digits and hyphens")
_LABEL = _matching(r"[\x21-\x7e]{1,32}", "is 1 to 32 printable ASCII characters without spaces")
_KEY = _matching(r"[a-z0-9][a-z0-9._-]{0,47}", "is 1 to 48 small letters, digits, dots and hyphens")
_PATH = _matching(r"/[\x21-\x7e]{1,200}", "is an absolute path")
_SERIAL = _matching(r"[0-9a-f]{2,40}", "is a serial number in small hexadecimal digits")
_AUTHORITY = _one_of(IssuerName, IssuerName.ROOT, *ISSUING_AUTHORITIES)
_ISSUING = _one_of(IssuerName, *ISSUING_AUTHORITIES)
_REASON = _one_of(RevocationReason, *(r for r in RevocationReason if r is not RevocationReason.CERTIFICATE_HOLD))


@dataclass(frozen=True, slots=True)
class Form:
    """A kind of step: its class, the members it must have, and those it may have."""

    step: Callable[..., Step]
    required: Mapping[str, Reader]
    optional: Mapping[str, Reader] = field(default_factory=lambda: MappingProxyType({}))


GRAMMAR: Final[Mapping[str, Form]] = MappingProxyType(
    {
        "make-token": Form(MakeToken, {"token": _NAME, "label": _LABEL, "pin": _one_of(PinCustody)}),
        "use-token": Form(UseToken, {"token": _NAME, "label": _LABEL}, {"module": _PATH, "environment": _environment}),
        "unlock": Form(Unlock, {"token": _NAME}),
        "generate-key": Form(
            GenerateKey,
            {
                "token": _NAME,
                "key": _KEY,
                "algorithm": _one_of(SignatureAlgorithm),
                "purpose": _one_of(KeyPurpose),
            },
            {"bits": _bits},
        ),
        "request-certificate": Form(
            RequestCertificate,
            {"token": _NAME, "key": _KEY, "subject": _subject, "file": _file},
            {"authority": _ISSUING},
        ),
        "install-certificate": Form(
            InstallCertificate,
            {"token": _NAME, "key": _KEY, "certificate": _file, "chain": _file},
            {"authority": _ISSUING},
        ),
        "certify-root": Form(CertifyRoot, {"token": _NAME, "key": _KEY, "common_name": text}),
        "certify-authority": Form(
            CertifyAuthority,
            {"token": _NAME, "authority": _ISSUING, "authority_token": _NAME, "common_name": text},
        ),
        "certify-request": Form(
            CertifyRequest,
            {"token": _NAME, "request": _file, "certificate": _file, "authority": _ISSUING, "common_name": text},
        ),
        "revoke-authority": Form(
            RevokeAuthority,
            {"token": _NAME, "reason": _REASON},
            {"authority": _ISSUING, "serial": _SERIAL, "invalidity_date": _instant},
        ),
        "sign-root-list": Form(SignRootList, {"token": _NAME}),
        "read-aloud": Form(
            ReadAloud,
            {},
            {
                "certificate": _file,
                "authority": _AUTHORITY,
                "token": _NAME,
                "key": _KEY,
            },
        ),
        "open-deployment": Form(OpenDeployment, {}),
    }
)


def misfit(step: Step) -> str | None:
    """Say what is wrong between the members of a step, each of which is well written."""
    match step:
        case RevokeAuthority() if (step.authority is None) == (step.serial is None):
            return "names its certificate by authority or by serial, one of them"
        case ReadAloud() if (step.token is None) != (step.key is None):
            return "names a key together with its token"
        case ReadAloud() if sum(each is not None for each in (step.certificate, step.authority, step.key)) != 1:
            return "names one thing to read: a certificate, an authority, or a token's key"
        case MakeToken(token="service", pin=PinCustody.SHARES):
            return "the service must start unattended: its PIN is kept in its file"
        case MakeToken(pin=PinCustody.FILE) if step.token != SERVICE:
            return "only the service's token keeps its PIN in a file"
    return None
