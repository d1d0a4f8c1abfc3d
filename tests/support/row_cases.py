"""The negative cases that every format shares, by the words that docs/verdicts.md calls them."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from pki import der, oids
from pki.certificates import Certificate
from signer.validation.policy import DEFAULT, HEALTH_CLUSTER, AlgorithmPolicy
from tests.support.carriers import CONTENT, Act, Stamp
from tests.support.forge import flip, forge_token
from tests.support.ocsp_forge import ocsp_answer
from tests.support.pki import ARC, NOW, Holder, Issuer, make_root
from tests.support.zoo import SIGNED_AT, Zoo, admission, make_clinician

DAY: Final = timedelta(days=1)
BEFORE, AFTER = SIGNED_AT - DAY, SIGNED_AT + DAY
ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
POLICY: Final = "1.3.6.1.4.1.32473.9.7"
POLICY_DIGEST: Final = hashlib.sha256(b"a signature policy").digest()
COMPROMISE: Final = x509.ReasonFlags.key_compromise
HOLD: Final = x509.ReasonFlags.certificate_hold


@dataclass(frozen=True, kw_only=True)
class Case:
    """An act, and what the verifier is given with it."""

    act: Act
    context: dict[str, Any] = field(default_factory=dict)


Make = Callable[[Zoo], Case]


def stamped(tsa: Holder, at: datetime = SIGNED_AT, *, over: Callable[[bytes], bytes] = lambda octets: octets) -> Stamp:
    """Return what makes a token at a time, by default over the octets that it should stamp."""

    def stamp(octets: bytes, unsigned: tuple[bytes, ...] = ()) -> bytes:
        return forge_token(hashlib.sha256(over(octets)).digest(), tsa, at, unsigned=unsigned)

    return stamp


def by(zoo: Zoo, holder: Any = None, **changes: Any) -> Act:
    """Return a good act with changes."""
    return Act(holder=holder or zoo.clinician, **changes)


def _plain(**changes: Any) -> Make:
    return lambda zoo: Case(act=by(zoo, **changes))


def _given(changes: Callable[[Zoo], dict[str, Any]], *, stamp: bool = False) -> Make:
    return lambda zoo: Case(act=by(zoo, stamp=stamped(zoo.tsa) if stamp else None), context=changes(zoo))


def _numbers(change: Callable[[int, int], tuple[int, int]]) -> Make:
    def spoil(value: bytes) -> bytes:
        r, s = change(*(node.integer() for node in der.parse(value).sequence()))
        return der.sequence(der.integer(r), der.integer(s))

    return _plain(spoil=spoil)


# -- certificates ------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _issued(zoo: Zoo, **changes: Any) -> Holder:
    return make_clinician(zoo.intermediate, **changes)


def _signed_by(make: Callable[[Zoo], Any], *, stamp: bool = False, **context: Callable[[Zoo], Any]) -> Make:
    def case(zoo: Zoo) -> Case:
        act = by(zoo, make(zoo), stamp=stamped(zoo.tsa) if stamp else None)
        return Case(act=act, context={name: value(zoo) for name, value in context.items()})

    return case


@lru_cache(maxsize=8)
def _under_ca(zoo: Zoo, kind: str) -> tuple[Holder, tuple[Any, ...]]:
    """Return a signer under a CA that breaks a rule, with the status of all."""
    elsewhere = x509.Name([x509.NameAttribute(x509.NameOID.COUNTRY_NAME, "XX")])
    constraints = ((x509.NameConstraints([x509.DirectoryName(elsewhere)], None), True),)
    below = zoo.intermediate.issue_ca("Too deep") if kind == "deep" else zoo.root.issue_ca("Narrow", extra=constraints)
    return make_clinician(below), (zoo.status(zoo.intermediate.crl(), below.crl()),)


def _ruled(kind: str) -> Make:
    def case(zoo: Zoo) -> Case:
        holder, status = _under_ca(zoo, kind)
        return Case(act=by(zoo, holder, certificates=holder.chain), context={"status_sources": status})

    return case


@dataclass(frozen=True)
class _WeakKey:
    private: Any

    def public_key(self) -> Any:
        return self.private.public_key()

    def sign(self, message: bytes) -> bytes:
        if isinstance(self.private, rsa.RSAPrivateKey):
            return self.private.sign(message, padding.PKCS1v15(), hashes.SHA256())
        value: bytes = self.private.sign(message, ec.ECDSA(hashes.SHA256()))
        return value


@dataclass(frozen=True)
class _WeakHolder:
    certificate: Certificate
    key: _WeakKey


@lru_cache(maxsize=4)
def _weak(zoo: Zoo, kind: str) -> _WeakHolder:
    rsa_1024 = kind == "rsa"
    key = _WeakKey(
        rsa.generate_private_key(65537, 1024)  # noqa: S505 - weak on purpose
        if rsa_1024
        else ec.generate_private_key(ec.SECP224R1())
    )
    return _WeakHolder(make_clinician(zoo.intermediate, key=key).certificate, key)


def _ending(zoo: Zoo, at: datetime) -> dict[str, Any]:
    """Return a context in which small keys and SHA-1 are over at `at`."""
    del zoo
    weak = AlgorithmPolicy(
        hash_ends=((oids.SHA256, None), (oids.SHA1, at)), rsa_ends=((1900, at),), ec_ends=((225, at),)
    )
    return {"policy": replace(DEFAULT, algorithms=weak)}


def _weakly(kind: str, *, stamp: bool = False, end: datetime | None = None) -> Make:
    def case(zoo: Zoo) -> Case:
        token = stamped(zoo.tsa) if stamp else None
        act = by(zoo, digest=kind, stamp=token) if kind in ("sha1", "md5") else by(zoo, _weak(zoo, kind), stamp=token)
        return Case(act=act, context={} if end is None else _ending(zoo, end))

    return case


# -- status ------------------------------------------------------------------------------------------


def _revoked(at: datetime, *, stamp: bool, ca: bool = False, **entry: Any) -> Make:
    """Revoke the signer, or the CA, by a list of an hour ago."""

    def context(zoo: Zoo) -> dict[str, Any]:
        if ca:
            lists = (zoo.root.crl({zoo.intermediate.certificate.serial: at}, **entry), zoo.intermediate.crl())
            return {"status_sources": (replace(zoo.status(), crls=lists),)}
        return {"status_sources": (zoo.status(zoo.intermediate.crl({zoo.clinician.certificate.serial: at}, **entry)),)}

    return _given(context, stamp=stamp)


@lru_cache(maxsize=1)
def _elsewhere() -> tuple[Issuer, Holder]:
    """Return a root of others with its TSA, whom nothing that happens to the signer's CA touches."""
    root = make_root("Root of others")
    return root, root.issue_tsa()


def _revoked_ca_elsewhere(at: datetime) -> Make:
    def case(zoo: Zoo) -> Case:
        root, tsa = _elsewhere()
        lists = (zoo.root.crl({zoo.intermediate.certificate.serial: at}), zoo.intermediate.crl(), root.crl())
        status = (replace(zoo.status(), crls=lists),)
        anchors = (zoo.root.certificate, root.certificate)
        return Case(act=by(zoo, stamp=stamped(tsa)), context={"status_sources": status, "anchors": anchors})

    return case


def _released(*, stamp: bool) -> Make:
    """Hold the signer, then let go: an older list with the hold, and the newest without."""

    def context(zoo: Zoo) -> dict[str, Any]:
        held = zoo.intermediate.crl({zoo.clinician.certificate.serial: BEFORE}, reason=HOLD, this_update=AFTER)
        return {"status_sources": (zoo.status(held, zoo.intermediate.crl(number=2)),)}

    return _given(context, stamp=stamp)


def _answers(make: Callable[[Zoo], bytes]) -> Make:
    """Give one OCSP response, and of lists only the root's."""
    return _given(
        lambda zoo: {"status_sources": (replace(zoo.status(), crls=(zoo.root.crl(),), ocsp_responses=(make(zoo),)),)}
    )


def _lists(this_update: datetime, next_update: datetime) -> Make:
    return _given(
        lambda zoo: {
            "status_sources": (zoo.status(zoo.intermediate.crl(this_update=this_update, next_update=next_update)),)
        }
    )


def _tables() -> dict[str, Make]:
    """Return every fate of the signer's certificate, with and without a time-stamp."""
    found: dict[str, Make] = {}
    fates: dict[str, tuple[datetime, dict[str, Any]]] = {
        "revoked before signing": (BEFORE, {}),
        "revoked after signing": (AFTER, {}),
        "revoked after, invalid since before signing": (AFTER, {"reason": COMPROMISE, "invalid_since": BEFORE}),
        "revoked after, invalid since after signing": (
            AFTER + DAY / 2,
            {"reason": COMPROMISE, "invalid_since": AFTER},
        ),
        "held before signing": (BEFORE, {"reason": HOLD}),
        "held after signing": (AFTER, {"reason": HOLD}),
        "CA revoked before signing": (BEFORE, {"ca": True}),
        "CA revoked after signing": (AFTER, {"ca": True}),
    }
    for stamp, words in ((True, "with time-stamp"), (False, "without time-stamp")):
        for name, (at, entry) in fates.items():
            found[f"{name}, {words}"] = _revoked(at, stamp=stamp, **entry)
            if "ca" in entry and stamp:
                found[f"{name}, with time-stamp of others"] = _revoked_ca_elsewhere(at)
        found[f"held before signing and released, {words}"] = _released(stamp=stamp)
    return found


def _expired(*, stamp: bool, known: bool) -> Make:
    def case(zoo: Zoo) -> Case:
        holder = _issued(zoo, not_after=NOW - DAY)
        crl = zoo.intermediate.crl(this_update=NOW - 1.5 * DAY, next_update=NOW)
        status = (zoo.status(crl, zoo.intermediate.crl()),) if known else ()
        token = stamped(zoo.tsa) if stamp else None
        return Case(act=by(zoo, holder, stamp=token), context={"status_sources": status})

    return case


def _tsa(**changes: Any) -> Make:
    members: dict[str, Any] = {
        "usage": ("digital_signature",),
        "extended": (oids.EKU_TIME_STAMPING,),
        "extended_critical": True,
    }
    return lambda zoo: Case(act=by(zoo, stamp=stamped(zoo.intermediate.issue("TSA", **(members | changes)))))


def _under_policy(name: str, digest: bytes, known: str | None = None) -> Make:
    def case(zoo: Zoo) -> Case:
        accepted = ((known, frozenset((POLICY_DIGEST,))),) if known else ()
        policy = replace(DEFAULT, signature_policies=accepted)
        return Case(act=by(zoo, policy=(name, digest)), context={"policy": policy})

    return case


SILVER: Final = "1.3.6.1.4.1.32473.1.2"
PRESCRIBERS: Final = replace(HEALTH_CLUSTER, professions=frozenset(("physician", "dentist")))
NURSE: Final = {"extra": ((admission("nurse", "N-1234"), False),)}

CASES: Final[dict[str, Make]] = {
    "nothing wrong": _plain(),
    "nothing wrong, with time-stamp": _given(lambda _zoo: {}, stamp=True),
    "content changed": _plain(shipped=flip(CONTENT, 20)),
    "value: last bit flipped": _plain(spoil=lambda value: flip(value, -1)),
    "value: r is 0": _numbers(lambda _r, s: (0, s)),
    "value: s is 0": _numbers(lambda r, _s: (r, 0)),
    "value: r is the order": _numbers(lambda _r, s: (ORDER, s)),
    "value: s is n - s": _numbers(lambda r, s: (r, ORDER - s)),
    "value: empty": _plain(spoil=lambda _value: b""),
    "file cut in its middle": _plain(torn=lambda data: data[: len(data) // 2]),
    "file without its last octet": _plain(torn=lambda data: data[:-1]),
    "an octet after the file": _plain(torn=lambda data: data + b"!"),
    "the file twice": _plain(torn=lambda data: data + data),
    "reference missing, certificate unsigned": _plain(unreferenced=True),
    "reference to another certificate": lambda zoo: Case(act=by(zoo, reference=zoo.tsa.certificate)),
    "certificate nowhere": _plain(certificates=()),
    "certificate known to the verifier": lambda zoo: Case(
        act=by(zoo, certificates=()),
        context={"intermediates": (zoo.intermediate.certificate, zoo.clinician.certificate)},
    ),
    "no anchor": _given(lambda _zoo: {"anchors": ()}),
    "anchor of a stranger": _given(lambda _zoo: {"anchors": (make_root("Another root").certificate,)}),
    "anchor is the signer": _given(lambda zoo: {"anchors": (zoo.clinician.certificate,), "status_sources": ()}),
    "key usage without nonRepudiation": _signed_by(lambda zoo: _issued(zoo, usage=("digital_signature",))),
    "TLS certificate": _signed_by(lambda zoo: _issued(zoo, extended=(oids.EKU_SERVER_AUTH, oids.EKU_CLIENT_AUTH))),
    "CA certificate": _signed_by(lambda zoo: zoo.intermediate),
    "policy OID missing": _given(lambda _zoo: {"policy": replace(DEFAULT, required_policies=frozenset((SILVER,)))}),
    "council certificate without prescriber's role": lambda zoo: Case(
        act=by(zoo, make_clinician(zoo.intermediate, **NURSE)), context={"policy": PRESCRIBERS}
    ),
    "certificate without a profession": lambda zoo: Case(
        act=by(zoo, zoo.intermediate.issue(policies=(ARC.certificate_policy, ARC.profile_type(2, 1)))),
        context={"policy": HEALTH_CLUSTER},
    ),
    "path longer than allowed": _ruled("deep"),
    "name outside the constraints": _ruled("narrow"),
    **_tables(),
    "expired, stamped while valid": _expired(stamp=True, known=True),
    "expired, no status": _expired(stamp=False, known=False),
    "expired, known not revoked": _expired(stamp=False, known=True),
    "claimed before the certificate": _signed_by(lambda zoo: _issued(zoo, not_before=NOW - DAY)),
    "stamped before the certificate": _signed_by(lambda zoo: _issued(zoo, not_before=NOW - DAY), stamp=True),
    "no status at all": _given(lambda _zoo: {"status_sources": ()}),
    "list stale": _lists(this_update=NOW - 3 * DAY, next_update=NOW - DAY),
    "list of the future": _lists(this_update=NOW + DAY, next_update=NOW + 2 * DAY),
    "OCSP good": _answers(lambda zoo: ocsp_answer(zoo.intermediate, zoo.clinician)),
    "OCSP stale": _answers(
        lambda zoo: ocsp_answer(zoo.intermediate, zoo.clinician, this_update=NOW - 2 * DAY, next_update=NOW - DAY)
    ),
    "OCSP of the future": _answers(
        lambda zoo: ocsp_answer(zoo.intermediate, zoo.clinician, this_update=NOW + DAY, next_update=NOW + 2 * DAY)
    ),
    "OCSP of another serial": _answers(lambda zoo: ocsp_answer(zoo.intermediate, zoo.tsa)),
    "OCSP responder without its usage": _answers(
        lambda zoo: ocsp_answer(zoo.intermediate, zoo.clinician, responder=_issued(zoo, usage=("digital_signature",)))
    ),
    "status before the time-stamp, archive policy": _given(
        lambda zoo: {
            "policy": replace(DEFAULT, status_after_signature=True),
            "status_sources": (
                zoo.status(zoo.intermediate.crl(this_update=SIGNED_AT - DAY / 24, next_update=NOW + DAY)),
            ),
        },
        stamp=True,
    ),
    "SHA-1 over the content": _weakly("sha1"),
    "MD5 over the content": _weakly("md5"),
    "ECDSA below 256 bits": _weakly("ec"),
    "RSA of 1024 bits": _weakly("rsa"),
    "SHA-1 over the content, stamped after its end": _weakly("sha1", stamp=True),
    "ECDSA below 256 bits, stamped after its end": _weakly("ec", stamp=True),
    "RSA of 1024 bits, stamped after its end": _weakly("rsa", stamp=True),
    "SHA-1 over the content, stamped before its end": _weakly("sha1", stamp=True, end=AFTER),
    "ECDSA below 256 bits, stamped before its end": _weakly("ec", stamp=True, end=AFTER),
    "RSA of 1024 bits, stamped before its end": _weakly("rsa", stamp=True, end=AFTER),
    "time-stamp of other octets": lambda zoo: Case(act=by(zoo, stamp=stamped(zoo.tsa, over=lambda _o: b"another"))),
    "content stamped after the signature": lambda zoo: Case(
        act=by(zoo, stamp=stamped(zoo.tsa), content_stamp=stamped(zoo.tsa, AFTER))
    ),
    "content stamped before the signature": lambda zoo: Case(
        act=by(zoo, stamp=stamped(zoo.tsa), content_stamp=stamped(zoo.tsa, BEFORE))
    ),
    "archive stamped before the signature": lambda zoo: Case(
        act=by(zoo, stamp=stamped(zoo.tsa), archive_stamp=stamped(zoo.tsa, BEFORE))
    ),
    "archive stamped after the signature": lambda zoo: Case(
        act=by(zoo, stamp=stamped(zoo.tsa), archive_stamp=stamped(zoo.tsa, AFTER))
    ),
    "TSA without its critical usage": _tsa(extended_critical=False),
    "TSA of two usages": _tsa(extended=(oids.EKU_TIME_STAMPING, oids.EKU_CLIENT_AUTH)),
    "TSA expired": _tsa(not_after=NOW - DAY),
    "content absent": _plain(shipped=None),
    "signature policy unknown": _under_policy(POLICY, POLICY_DIGEST),
    "signature policy of another document": _under_policy(POLICY, hashlib.sha256(b"x").digest(), known=POLICY),
    "signature policy known": _under_policy(POLICY, POLICY_DIGEST, known=POLICY),
    "twin of the certificate: same key and name, other serial": lambda zoo: Case(
        act=by(zoo, certificates=(make_clinician(zoo.intermediate, key=zoo.clinician.key).certificate,))
    ),
}
