"""The building blocks of EN 319 102-1, and what a constraint of one is made of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final

from pki.messages import Message
from signer.parsers.model import Format
from signer.validation.policy import Policy
from signer.validation.reasons import Reason


@unique
class Block(StrEnum):
    """A building block, in the order in which it is reported."""

    FORMAT = "format-checking"
    IDENTIFICATION = "identification-of-signing-certificate"
    CONTEXT = "validation-context-initialisation"
    X509 = "x509-certificate-validation"
    FRESHNESS = "revocation-freshness"
    CRYPTO = "cryptographic-verification"
    ACCEPTANCE = "signature-acceptance-validation"
    TIME = "time-validation"
    POE = "proof-of-existence"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockText:
    """Where the standard describes a block, and what people call it."""

    clause: str
    title: Message


BLOCKS: Final[Mapping[Block, BlockText]] = {
    Block.FORMAT: BlockText(clause="5.2.2", title=Message("بررسی قالب", "Format checking")),
    Block.IDENTIFICATION: BlockText(
        clause="5.2.3", title=Message("شناسایی گواهی امضاکننده", "Identification of the signing certificate")
    ),
    Block.CONTEXT: BlockText(
        clause="5.2.4", title=Message("آماده‌سازی اعتبارسنجی", "Validation context initialisation")
    ),
    Block.X509: BlockText(clause="5.2.6", title=Message("اعتبارسنجی گواهی X.509", "X.509 certificate validation")),
    Block.FRESHNESS: BlockText(clause="5.2.5", title=Message("تازگی وضعیت ابطال", "Revocation freshness")),
    Block.CRYPTO: BlockText(clause="5.2.7", title=Message("بررسی رمزنگاری", "Cryptographic verification")),
    Block.ACCEPTANCE: BlockText(clause="5.2.8", title=Message("پذیرش امضا", "Signature acceptance validation")),
    Block.TIME: BlockText(clause="5.5", title=Message("اعتبارسنجی زمان", "Time validation")),
    Block.POE: BlockText(clause="5.6.2.3", title=Message("اثبات وجود در زمان", "Proof of existence")),
}
TIMESTAMP_CLAUSE: Final = "5.4"


@unique
class Level(StrEnum):
    """What follows when a constraint does not hold."""

    FAIL = "fail"
    INFORM = "inform"
    IGNORE = "ignore"


def always(_policy: Policy) -> Level:
    """Demand it under every policy."""
    return Level.FAIL


def told(_policy: Policy) -> Level:
    """Tell of it under every policy; nothing follows."""
    return Level.INFORM


def fail_if(wanted: Callable[[Policy], object], otherwise: Level = Level.IGNORE) -> Callable[[Policy], Level]:
    """Demand it where a policy wants it."""
    return lambda policy: Level.FAIL if wanted(policy) else otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """One thing asked.

    `per_certificate`: asked of every certificate of the path. `stamps`: asked of time-stamps, too.
    `formats`: the only formats that it is asked of; None for all.
    """

    name: str
    block: Block
    asks: Message
    reasons: tuple[Reason, ...] = ()
    level: Callable[[Policy], Level] = always
    per_certificate: bool = False
    signatures: bool = True
    stamps: bool = False
    formats: frozenset[Format] | None = None
