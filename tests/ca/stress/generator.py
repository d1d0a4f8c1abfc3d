"""Certificates of every profile for holders of every kind with keys of every kind, drawn from one seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import cycle, islice
from random import Random
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, mldsa, rsa

from ca.config import AuthoritySettings, PersonSerial, validate_settings
from ca.hierarchy import Hierarchy
from ca.issuance import prepare
from ca.key_policy import KeyKind
from ca.lint.findings import Severity
from ca.linting.pkilint_judge import PkilintJudge
from ca.tbs import SERIAL_OCTETS, build_twin, serial_from
from pki.errors import ServiceError
from pki.identity import parse_legal_id
from pki.identity_file import pilot_identities
from tests.ca.mutants import content_of
from tests.ca.profile_documents import document, pilots
from tests.ca.world import FILE_PROFILES, RAW_SETTINGS, SETTINGS, national_code

POOL: Final = 3  # RSA keys of each size: making one takes longer than linting a hundred certificates
OPAQUE: Final = replace(SETTINGS, person_serial=PersonSerial.OPAQUE)
# Whatever a deployer may switch on, at once.
RICH: Final = validate_settings(
    replace(
        RAW_SETTINGS,
        admission_authority="سازمان آزمایشی",
        profiles=document(
            {
                "clin-sign": pilots("clin-sign", title=True, hc_role=True, extended_key_usage=["documentSigning"]),
                "clin-auth": pilots("clin-auth", title=True, hc_role=True, qc_statements=["semantics"]),
                **{name: pilots(name, organizational_unit=True) for name in ("hix-tls", "hix-seal", "hix-enc")},
            },
            extends="pilot",
        ),
    )
)
JUDGE: Final = PkilintJudge()

_GIVEN: Final = ("علی", "زهرا", "مه‌لقا", "آرش", "Sara", "رضا علی", "ژاله", "يحيى", "كوروش", "ا", "Åsa", "عبد‌الله")
_FAMILY: Final = ("رضایی", "احمدی‌نژاد", "نمونه‌پور اصل", "O'Neill", "کاظمی ۲", "Müller-Lüdenscheidt", "م", "پ" * 60)
_CENTRES: Final = (
    "بیمارستان آزمایشی",
    "درمانگاه نمونهٔ ۳",
    "Pilot Clinic & Sons",
    "ن" * 64,
    "آ.ب.پ",
    "مرکز (شبانه‌روزی)",
)
_PLACES: Final = ("تهران", "سیستان و بلوچستان", "چهارمحال و بختیاری", "Qom", "کهگیلویه و بویراحمد")
_HOSTS: Final = (
    "exchange.example",
    "a.b.c.d.example.org",
    "his.example.net",
    "127.0.0.1",
    "2001:db8::1",
    "x" * 63 + ".example",
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One certificate to be: what decides every octet of it but the key."""

    profile: str
    key: KeyKind
    hardware: bool
    serial: int
    settings: AuthoritySettings
    members: Mapping[str, Any] | None


def _legal_id(random: Random) -> str:
    stem = "1" + "".join(random.choice("123456789") for _ in range(9))
    for last in "0123456789":
        try:
            return parse_legal_id(stem + last)
        except ServiceError:
            continue
    raise AssertionError("no digit fits")


def _clinician(random: Random) -> dict[str, Any]:
    profession = random.choice(list(pilot_identities().professions))
    number = str(random.randrange(1000, 1_000_000))
    if profession not in ("physician", "dentist") and random.random() < 0.5:
        number = f"{random.choice('abz')}-{number}"
    return {**_citizen(random), "kind": "clinician", "profession": profession, "council_number": number}


def _citizen(random: Random) -> dict[str, Any]:
    code = national_code(random.randrange(1, 800_000_000))
    given, family = random.choice(_GIVEN), random.choice(_FAMILY)
    return {"kind": "citizen", "national_code": code, "given_name": given, "surname": family}


def _centre(random: Random) -> dict[str, Any]:
    siam = random.choice(
        (f"c-{random.randrange(1000, 9999)}", "6f9619ff-8b86-d011-b42d-00c04fc964ff", "a" * 36, "1234")
    )
    return {
        "kind": "centre",
        "siam_id": siam,
        "name": random.choice(_CENTRES),
        "centre_kind": random.choice(list(pilot_identities().institutions)),
        "legal_id": _legal_id(random),
        "province": random.choice(_PLACES),
        "city": random.choice(_PLACES),
        **({} if random.random() < 0.5 else {"unit": random.choice(_PLACES)}),
    }


def _system(random: Random) -> dict[str, Any]:
    hosts = random.sample(_HOSTS, random.randrange(1, len(_HOSTS)))
    name = random.choice(("his-1", "سامانهٔ نسخه", "gateway.example"))
    return {"kind": "system", "organization": random.choice(_CENTRES), "common_name": name, "hosts": hosts}


def _officer(random: Random) -> dict[str, Any]:
    officer = f"officer-{random.randrange(10_000)}"
    given, family = random.choice(_GIVEN), random.choice(_FAMILY)
    return {"kind": "officer", "officer_id": officer, "given_name": given, "surname": family}


_HOLDERS: Final[Mapping[str, Callable[[Random], dict[str, Any]]]] = {
    "clinician": _clinician,
    "citizen": _citizen,
    "centre": _centre,
    "system": _system,
    "officer": _officer,
}


def cases(seed: int, count: int) -> Iterator[Case]:
    """Yield so many cases; profiles and kinds of keys take turns, the rest is drawn."""
    random = Random(seed)  # noqa: S311 - the same cases every time, no secret
    turns = [(str(profile.name), key) for profile in SETTINGS.profiles for key in sorted(profile.keys)]
    for profile, key in islice(cycle(turns), count):
        holder = FILE_PROFILES.get(profile)
        yield Case(
            profile=profile,
            key=key,
            hardware=random.random() < 0.5,
            serial=serial_from(random.randbytes(SERIAL_OCTETS)),
            settings=random.choice((SETTINGS, OPAQUE, RICH)),
            members=None if holder is None else _HOLDERS[holder["kind"]](random),
        )


@cache
def _rsa_pool(bits: int) -> Iterator[rsa.RSAPublicKey]:
    return cycle([rsa.generate_private_key(65537, bits).public_key() for _ in range(POOL)])


def key_of(kind: KeyKind) -> Any:
    """Make a key, or take the next one of the pool."""
    match kind:
        case KeyKind.P256:
            return ec.generate_private_key(ec.SECP256R1()).public_key()
        case KeyKind.P384:
            return ec.generate_private_key(ec.SECP384R1()).public_key()
        case KeyKind.RSA_2048:
            return next(_rsa_pool(2048))
        case KeyKind.RSA_3072:
            return next(_rsa_pool(3072))
    return mldsa.MLDSA65PrivateKey.generate().public_key()


def faults_of(case: Case, hierarchy: Hierarchy) -> list[str]:
    """Say what our own rules and pkilint find above NOTICE in the case's certificate."""
    members = None if case.members is None else dict(case.members)
    content = replace(
        content_of(
            case.profile, hierarchy, case.settings, key=key_of(case.key), hardware=case.hardware, members=members
        ),
        serial=case.serial,
    )
    own = prepare(content, case.settings).findings
    found = (*own, *JUDGE.judge(build_twin(content, case.settings).der, content.profile.linters))
    return [f"{case}: {finding}" for finding in found if finding.severity > Severity.NOTICE]
