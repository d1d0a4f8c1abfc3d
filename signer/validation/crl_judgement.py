"""What CRLs together say of one certificate (RFC 5280 §6.3.3).

Full and delta lists, whole or divided by distribution point or by reason, direct or indirect, signed by the issuer's
key that signed the certificate or by another of its keys. Each full list that speaks of every reason gives an answer
of its own, so that the engine can weigh old and new ones; lists for some reasons only answer "good" together.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from pki import der, oids
from pki.certificates import Certificate
from pki.names import same_name
from pki.signatures import signature_hash
from signer.parsers.model import UNREADABLE
from signer.validation.answers import CLOCK_SKEW, Good, Revoked, Silent, StatusAnswer, unreadable
from signer.validation.crl import Crl, Entry, find_entry, is_signed_by
from signer.validation.crl_scope import ALL_REASONS, Reasons, reasons_said, scope_of

_EXPIRED_CERTS_ON_CRL: Final = "2.5.29.60"  # X.509 §9.5.2.8
_REMOVED: Final = "removeFromCRL"
_UNDERSTOOD: Final = frozenset(
    (oids.CRL_NUMBER, oids.AUTHORITY_KEY_IDENTIFIER, oids.ISSUING_DISTRIBUTION_POINT, oids.DELTA_CRL_INDICATOR)
)


class ListSigners(Protocol):
    """Whoever else than a certificate's issuer signs lists that speak of it."""

    def signer(self, crl: Crl, issuer: Certificate) -> Certificate | None:
        """Return whose key signed a list and is to be relied on as the `issuer`'s is (RFC 5280 §6.3.3 f)."""
        ...


class NobodyElse:
    """Lists are signed by the key that signed the certificate."""

    def signer(self, _crl: Crl, _issuer: Certificate) -> None:
        """Know nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginalList:
    """A list and where it is from; `octets` is its DER where it travels in the file."""

    crl: Crl
    origin: str
    octets: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What one usable list says: the entry of the certificate, or none, and for which reasons."""

    crl: Crl
    origin: str
    signer: Certificate
    entry: Entry | None
    reasons: Reasons
    drawn_from: tuple[bytes, ...] = ()

    @property
    def hash_oid(self) -> str | None:
        return signature_hash(self.crl.algorithm)


def judge_lists(
    lists: Iterable[OriginalList], certificate: Certificate, issuer: Certificate, at: datetime, others: ListSigners
) -> Iterator[StatusAnswer]:
    """Yield what lists know of a certificate; silent where signature, issuer, scope or date do not fit."""
    full: list[_Told] = []
    deltas: list[_Told] = []
    for original in lists:
        told = _read(original, certificate, issuer, at, others)
        if isinstance(told, Silent):
            yield told
        elif told.crl.base_number is None:
            full.append(told)
        else:
            deltas.append(told)
    yield from _with_deltas(full, deltas, at)


def _read(
    original: OriginalList, certificate: Certificate, issuer: Certificate, at: datetime, others: ListSigners
) -> _Told | Silent:
    try:
        told = _usable(original, certificate, issuer, at, others)
    except UNREADABLE as error:
        told = unreadable(error)
    return Silent(origin=original.origin, detail=told) if isinstance(told, str) else told


def _usable(
    original: OriginalList, certificate: Certificate, issuer: Certificate, at: datetime, others: ListSigners
) -> _Told | str:
    crl = original.crl
    scope = scope_of(crl)
    reasons = reasons_said(crl, scope, certificate)
    if isinstance(reasons, str):
        return reasons
    unknown = next((name for name, e in crl.extensions.items() if e.critical and name not in _UNDERSTOOD), None)
    if unknown is not None:
        return f"critical extension {unknown} is not understood"
    if crl.this_update > at + CLOCK_SKEW:
        return "issued in the future"
    signer = _signer(crl, issuer, others)
    if isinstance(signer, str):
        return signer
    entry = find_entry(crl, certificate, indirect=scope.indirect)
    octets = () if original.octets is None else (original.octets,)
    return _Told(crl=crl, origin=original.origin, signer=signer, entry=entry, reasons=reasons, drawn_from=octets)


def _signer(crl: Crl, issuer: Certificate, others: ListSigners) -> Certificate | str:
    """Return whose key signed a list, or why nobody's that counts did."""
    problem = "signature does not hold"
    if same_name(crl.issuer_der, issuer.subject_der) and is_signed_by(crl, issuer):
        if _may_sign(issuer):
            return issuer
        problem = "its issuer may not sign CRLs"
    return others.signer(crl, issuer) or problem


def may_sign_lists(certificate: Certificate) -> bool:
    """Whether a certificate says itself that its key signs lists: whoever is not the issuer must."""
    return certificate.key_usage is not None and "cRLSign" in certificate.key_usage


def _may_sign(certificate: Certificate) -> bool:
    return certificate.key_usage is None or "cRLSign" in certificate.key_usage


# -- deltas (§5.2.4) --------------------------------------------------------------------------------


def _with_deltas(full: Sequence[_Told], deltas: Sequence[_Told], at: datetime) -> Iterator[StatusAnswer]:
    said: list[_Told] = []
    used: set[int] = set()
    for base in full:
        fitting = [delta for delta in deltas if _fits(base, delta)]
        used.update(map(id, fitting))
        newest = max(fitting, key=lambda delta: delta.crl.number or 0, default=None)
        if newest is None:
            said.append(base)
            continue
        said.append(_updated(base, newest))
        if newest.crl.next_update is not None and newest.crl.next_update < at:
            said.append(base)  # the delta has run out; the list that it adds to may still hold
    yield from _answers(said)
    for delta in deltas:
        if id(delta) not in used:
            yield _alone(delta)


def _fits(base: _Told, delta: _Told) -> bool:
    """Whether a delta continues a full list: same issuer, place and key, begun at or before it, and younger."""
    one, other = base.crl, delta.crl
    if (base.signer, base.hash_oid) != (delta.signer, delta.hash_oid) or not same_name(
        one.issuer_der, other.issuer_der
    ):
        return False
    if _value(one, oids.ISSUING_DISTRIBUTION_POINT) != _value(other, oids.ISSUING_DISTRIBUTION_POINT):
        return False
    if _value(one, oids.AUTHORITY_KEY_IDENTIFIER) != _value(other, oids.AUTHORITY_KEY_IDENTIFIER):
        return False
    number, begun, since = one.number, other.number, other.base_number
    if number is None or begun is None or since is None:
        return False
    return since <= number < begun and one.this_update <= other.this_update


def _value(crl: Crl, name: str) -> bytes | None:
    extension = crl.extensions.get(name)
    return None if extension is None else extension.value


def _updated(base: _Told, delta: _Told) -> _Told:
    """Say what a full list says with its delta, which is as young as the delta."""
    entry = base.entry if delta.entry is None else delta.entry
    removed = entry is not None and entry.reason == _REMOVED
    return _Told(
        crl=delta.crl,
        origin=f"{base.origin} with {delta.origin}",
        signer=delta.signer,
        entry=None if removed else entry,
        reasons=base.reasons,
        drawn_from=base.drawn_from + delta.drawn_from,
    )


def _alone(delta: _Told) -> StatusAnswer:
    """A delta without its full list knows of revocations, and of nothing else."""
    if delta.entry is None or delta.entry.reason == _REMOVED:
        return Silent(origin=delta.origin, detail="a delta without the certificate, not a full list")
    return _revoked(delta, delta.entry)


# -- answers ----------------------------------------------------------------------------------------


def _answers(said: Sequence[_Told]) -> Iterator[StatusAnswer]:
    partial: list[_Told] = []
    for told in said:
        if told.entry is not None:
            yield _revoked(told, told.entry)
        elif told.reasons == ALL_REASONS:
            yield _good([told])
        else:
            partial.append(told)
    if partial and frozenset().union(*(told.reasons for told in partial)) == ALL_REASONS:
        yield _good(partial)
    elif partial:
        yield Silent(origin=partial[0].origin, detail="for some reasons only")


def _revoked(told: _Told, entry: Entry) -> Revoked:
    return Revoked(
        origin=told.origin,
        this_update=told.crl.this_update,
        next_update=told.crl.next_update,
        signer=told.signer,
        hash_oid=told.hash_oid,
        revoked_at=entry.revoked_at,
        reason=entry.reason,
        invalid_since=entry.invalid_since,
        drawn_from=told.drawn_from,
    )


def _good(told: Sequence[_Told]) -> Good:
    """Answer "good" as old as the oldest list that it takes, and for as long as the shortest."""
    oldest = min(told, key=lambda one: one.crl.this_update)
    ends = [one.crl.next_update for one in told if one.crl.next_update is not None]
    since = [_expired_since(one.crl) for one in told]
    return Good(
        origin=", ".join(dict.fromkeys(one.origin for one in told)),
        this_update=oldest.crl.this_update,
        next_update=min(ends) if ends else None,
        signer=oldest.signer,
        hash_oid=oldest.hash_oid,
        expired_since=None if None in since else max(found for found in since if found is not None),
        drawn_from=tuple(octets for one in told for octets in one.drawn_from),
    )


def _expired_since(crl: Crl) -> datetime | None:
    value = _value(crl, _EXPIRED_CERTS_ON_CRL)
    return None if value is None else der.parse(value).time()
