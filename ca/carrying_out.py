"""Carrying out issuance: intents, then signatures, then certificates, each step durable before the next.

Two commits stand around each signature. Many candidates share both, and one round trip to the device. A crash
in between leaves intents, which `reconcile` abandons: their certificates were given to nobody.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from ca import file_repository as files
from ca import repository
from ca.context import Authority, AuthorityContext, event
from ca.errors import KeyRefused, NotApproved
from ca.issuance import PreparedCertificate, TwinJudge, prepare, sign_prepared
from ca.issuing.key_holders import KeyHolder, claim_keys
from ca.linting.repository import keep_own_findings
from ca.presigning import presigned_rows
from ca.profiles import CertificateProfile
from ca.records import UNMARKED, HolderMarks, ToPresign
from ca.registration_states import BEFORE_APPROVERS, FileState
from ca.revocation import CertificateState, Status
from ca.status_repository import store_responses
from ca.subjects import Subject
from ca.tbs import SERIAL_OCTETS, CertificateContent, serial_from, validity
from pki.audit import AuditAction
from pki.certificates import serial_hex
from pki.errors import ErrorCode, NotFound, ServiceError, Unavailable
from pki.signatures import AnyPublicKey
from storage.unit_of_work import UnitOfWork

FIRST_RESPONSES: Final = 16
_FIRST_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedCertificate:
    """A certificate that is signed, recorded and in force."""

    der: bytes = field(repr=False)
    serial_hex: str
    issuer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A certificate that passed the gate, with what its row says beyond it."""

    prepared: PreparedCertificate
    authority: Authority
    spki_sha256: bytes
    holder: str = field(repr=False)
    name: str = field(repr=False)
    file_id: str | None = None
    marks: HolderMarks = UNMARKED

    @property
    def serial(self) -> str:
        """The serial number, as rows name it."""
        return serial_hex(self.prepared.content.serial)

    @property
    def profile(self) -> CertificateProfile:
        """The profile of the certificate to be."""
        return self.prepared.content.profile

    @property
    def claim(self) -> KeyHolder:
        """Whose the key becomes with this certificate."""
        return KeyHolder(spki_sha256=self.spki_sha256, holder=self.holder, profile=str(self.profile.name))


def check_state(state: FileState | None, *, unapproved: bool) -> None:
    """Refuse a file that is missing, closed, or not approved unless the pilot switch is on."""
    if state is FileState.APPROVED:
        return
    if state is None:
        raise NotFound(ErrorCode.NOT_FOUND, "no such registration file")
    if state not in BEFORE_APPROVERS or not unapproved:
        raise NotApproved(f"the file is {state}")


def _check_holder(claim: KeyHolder, found: KeyHolder) -> None:
    """One key, one holder, one profile; a compromised key never again."""
    if found.compromised:
        raise KeyRefused("this key was revoked as compromised")
    if found != claim:
        raise KeyRefused("this key is certified for another holder or purpose")


def _by_authority(candidates: Sequence[Candidate]) -> list[tuple[Authority, list[Candidate]]]:
    found: dict[str, tuple[Authority, list[Candidate]]] = {}
    for candidate in candidates:
        label = candidate.authority.issuer.label
        found.setdefault(label, (candidate.authority, []))[1].append(candidate)
    return list(found.values())


class IssuanceRunner(AuthorityContext):
    """From a prepared certificate to a recorded one; the desks build on it."""

    def _prepare(
        self,
        profile: CertificateProfile,
        subject: Subject,
        authority: Authority,
        public_key: AnyPublicKey,
        spki_der: bytes,
        *,
        hardware: bool,
        unapproved: bool = False,
        lint_first: TwinJudge | None = None,
    ) -> PreparedCertificate:
        not_before, not_after = validity(profile, authority.issuer, self._now(), self._settings, hardware=hardware)
        content = CertificateContent(
            profile=profile,
            subject=subject,
            issuer=authority.issuer,
            public_key=public_key,
            spki_der=spki_der,
            serial=serial_from(self._random_bytes(SERIAL_OCTETS)),
            not_before=not_before,
            not_after=not_after,
            hardware=hardware,
            unapproved=unapproved,
        )
        return prepare(content, self._settings, lint_first)

    def _carry_out(
        self, candidates: Mapping[int, Candidate], actor: str
    ) -> dict[int, IssuedCertificate | ServiceError]:
        outcomes: dict[int, IssuedCertificate | ServiceError] = {}
        if candidates:
            self._before_intent()
        accepted = self._intend(candidates, actor, outcomes)
        if not accepted:
            return outcomes
        try:
            signed = self._sign(list(accepted.values()))
        except ServiceError:
            # The certificates were given to nobody; if the database is gone too, `reconcile` finds the intents.
            with suppress(Unavailable):
                self._abandon([candidate.serial for candidate in accepted.values()], actor)
            raise
        self._record(list(accepted.values()), signed, actor)
        for index, candidate in accepted.items():
            outcomes[index] = IssuedCertificate(
                der=signed[candidate.serial], serial_hex=candidate.serial, issuer=candidate.authority.issuer.label
            )
        return outcomes

    def _intend(
        self,
        candidates: Mapping[int, Candidate],
        actor: str,
        outcomes: dict[int, IssuedCertificate | ServiceError],
    ) -> dict[int, Candidate]:
        """Check what only one transaction can promise, write the intents, and return who has one."""
        now = self._now()
        if not candidates:
            return {}
        with self._database.begin() as unit:
            for check in (self._check_files, self._check_keys):
                refused = check(unit, candidates)
                outcomes |= refused
                candidates = {index: c for index, c in candidates.items() if index not in refused}
            accepted = dict(candidates)
            self._write_intents(unit, list(accepted.values()), actor, now)
        return accepted

    def _check_files(self, unit: UnitOfWork, candidates: Mapping[int, Candidate]) -> dict[int, ServiceError]:
        refused: dict[int, ServiceError] = {}
        states = files.file_states(unit.connection, {c.file_id for c in candidates.values() if c.file_id})
        for index, candidate in candidates.items():
            if candidate.file_id is None:
                continue
            try:
                check_state(states.get(candidate.file_id), unapproved=candidate.prepared.content.unapproved)
            except ServiceError as error:
                refused[index] = error
        return refused

    def _check_keys(self, unit: UnitOfWork, candidates: Mapping[int, Candidate]) -> dict[int, ServiceError]:
        refused: dict[int, ServiceError] = {}
        holders = claim_keys(unit.connection, [c.claim for c in candidates.values()])
        for index, candidate in candidates.items():
            try:
                _check_holder(candidate.claim, holders[candidate.spki_sha256])
            except ServiceError as error:
                refused[index] = error
        return refused

    def _write_intents(self, unit: UnitOfWork, candidates: Sequence[Candidate], actor: str, now: datetime) -> None:
        if not candidates:
            return
        rows = []
        for candidate in candidates:
            content = candidate.prepared.content
            row = repository.intent_row(
                candidate.prepared,
                spki_sha256=candidate.spki_sha256,
                file_id=candidate.file_id,
                holder=candidate.holder,
                name=candidate.name,
                shard=self._settings.shard_of(content.issuer.label, content.serial),
                actor=actor,
                at=now,
                marks=candidate.marks,
            )
            rows.append(row)
            facts = {
                "issuer": row["issuer"],
                "profile": row["profile"],
                "profile_version": candidate.profile.version,
                "file": candidate.file_id,
                "tbs_sha256": candidate.prepared.tbs_sha256.hex(),
                "unapproved": content.unapproved,
            }
            unit.audit.record(event(AuditAction.CERTIFICATE_INTENDED, now, actor, candidate.serial, **facts))
        repository.insert_intents(unit.connection, rows)
        keep_own_findings(unit.connection, {c.serial: c.prepared.findings for c in candidates}, now)

    def _sign(self, candidates: Sequence[Candidate]) -> dict[str, bytes]:
        signed: dict[str, bytes] = {}
        for authority, own in _by_authority(candidates):
            certificates = sign_prepared([c.prepared for c in own], self._keys, authority.key_label, authority.issuer)
            signed |= {c.serial: der for c, der in zip(own, certificates, strict=True)}
        return signed

    def _record(self, candidates: Sequence[Candidate], signed: Mapping[str, bytes], actor: str) -> None:
        now = self._now()
        responses = self._first_responses(candidates, now)
        with self._database.begin() as unit:
            repository.complete(unit.connection, signed, now)
            for candidate in candidates:
                digest = sha256(signed[candidate.serial]).hexdigest()
                facts = {"issuer": str(candidate.authority.issuer.label), "sha256": digest}
                unit.audit.record(event(AuditAction.CERTIFICATE_ISSUED, now, actor, candidate.serial, **facts))
            store_responses(unit.connection, responses)

    def _first_responses(self, candidates: Sequence[Candidate], now: datetime) -> list[dict[str, Any]]:
        """Pre-sign the first OCSP responses, unless the round is large: `presign` follows, and answers are signed live.

        Nor is a responder that cannot sign now a reason to lose the certificates that are signed.
        """
        if len(candidates) > FIRST_RESPONSES:
            return []
        rows: list[dict[str, Any]] = []
        good = Status(state=CertificateState.GOOD)
        for authority, own in _by_authority(candidates):
            items = [
                ToPresign(serial_hex=c.serial, status=good, status_version=_FIRST_VERSION)
                for c in own
                if c.profile.status_pointers
            ]
            with suppress(ServiceError):
                rows += presigned_rows(self._keys, authority, items, now, self._settings)
        return rows

    def _abandon(self, serials: Sequence[str], actor: str) -> tuple[str, ...]:
        now = self._now()
        with self._database.begin() as unit:
            abandoned = repository.abandon(unit.connection, serials)
            for serial in abandoned:
                unit.audit.record(event(AuditAction.CERTIFICATE_ABANDONED, now, actor, serial))
        return abandoned
