"""Issuing: request → approved file → proof of possession → lint → intent → device → row."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from ca import file_repository as files
from ca.carrying_out import Candidate, IssuanceRunner, IssuedCertificate, check_state
from ca.config import PersonSerial
from ca.context import Authorities, Authority
from ca.errors import ProfileMismatch
from ca.issuance import TwinJudge
from ca.profiles import CertificateProfile
from ca.pseudonyms import LASTING, period_of, pseudonyms_for, secret_of
from ca.registration import FileState, KeyStorage, RegistrationFile
from ca.subjects import Pseudonyms, subject_of
from pki.csr import parse_csr
from pki.errors import ErrorCode, NotFound, ServiceError
from pki.identity import PersonIdentity

MAX_BATCH: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuanceRequest:
    """One certificate asked for: which profile, for whom (a registration file), for which key (DER or PEM CSR).

    `unapproved` is the pilot switch: it skips the approvals and is marked in the certificate's policy. `lint_first`
    is an independent linter that is heard before the signature instead of soon after.
    """

    profile: str
    file_id: str
    csr: bytes
    unapproved: bool = False
    lint_first: TwinJudge | None = None


def _check_profile(profile: CertificateProfile, file: RegistrationFile) -> None:
    if not profile.needs_file or file.registration.kind is not profile.holder:
        raise ProfileMismatch(f"{profile.name} is not for a {file.registration.kind}")


def authority_of(profile: CertificateProfile, authorities: Authorities) -> Authority:
    """Return the authority that issues a profile; NotFound where the deployment has none."""
    found = None if profile.issuer is None else authorities.get(profile.issuer)
    if found is None:
        raise NotFound(ErrorCode.NOT_FOUND, f"no authority issues {profile.name} here")
    return found


class IssuingDesk(IssuanceRunner):
    """Use cases that end in a certificate."""

    def issue(
        self,
        profile: str,
        file_id: str,
        csr: bytes,
        actor: str,
        *,
        unapproved: bool = False,
        lint_first: TwinJudge | None = None,
    ) -> IssuedCertificate:
        """Issue one certificate for the key of a CSR to the holder of an approved file.

        ProfileUnknown, ProfileMismatch, NotFound, NotApproved, KeyRefused, LintFailed, InvalidInput (CSR) before
        any key is used; Unavailable when database or device do not answer.
        """
        request = IssuanceRequest(
            profile=profile, file_id=file_id, csr=csr, unapproved=unapproved, lint_first=lint_first
        )
        outcome = self.issue_batch([request], actor)[0]
        if isinstance(outcome, ServiceError):
            raise outcome
        return outcome

    def issue_batch(
        self, requests: Sequence[IssuanceRequest], actor: str
    ) -> tuple[IssuedCertificate | ServiceError, ...]:
        """Issue many certificates at the cost of few commits; a refused request takes none of the others down.

        Each outcome stands where its request stood. Raises only what concerns all: Unavailable.
        """
        outcomes: list[IssuedCertificate | ServiceError] = []
        for start in range(0, len(requests), MAX_BATCH):
            outcomes += self._issue_round(requests[start : start + MAX_BATCH], actor)
        return tuple(outcomes)

    def _issue_round(self, requests: Sequence[IssuanceRequest], actor: str) -> list[IssuedCertificate | ServiceError]:
        with self._database.read() as connection:
            found = files.find_files(connection, {request.file_id for request in requests})
        authorities = self._authorities()
        outcomes: dict[int, IssuedCertificate | ServiceError] = {}
        candidates: dict[int, Candidate] = {}
        for index, request in enumerate(requests):
            try:
                candidates[index] = self._candidate(request, found.get(request.file_id), authorities)
            except ServiceError as error:
                outcomes[index] = error
        outcomes |= self._carry_out(candidates, actor)
        return [outcomes[index] for index in range(len(requests))]

    def _candidate(
        self, request: IssuanceRequest, file: RegistrationFile | None, authorities: Authorities
    ) -> Candidate:
        profile = self._settings.profiles.to_issue(request.profile)
        if file is None:
            raise NotFound(ErrorCode.NOT_FOUND, "no such registration file")
        check_state(file.state, unapproved=request.unapproved)
        _check_profile(profile, file)
        csr = parse_csr(request.csr)
        registration = file.registration
        subject = subject_of(
            profile, registration, self._settings, file_id=file.id, pseudonyms=self._pseudonyms(profile, file)
        )
        authority = authority_of(profile, authorities)
        prepared = self._prepare(
            profile,
            subject,
            authority,
            csr.public_key,
            csr.spki_der,
            hardware=registration.key_storage is KeyStorage.HARDWARE,
            unapproved=request.unapproved and file.state is not FileState.APPROVED,
            lint_first=request.lint_first,
        )
        return Candidate(
            prepared=prepared,
            authority=authority,
            spki_sha256=sha256(csr.spki_der).digest(),
            holder=registration.holder,
            name=registration.display_name,
            file_id=file.id,
            marks=registration.marks,
        )

    def _pseudonyms(self, profile: CertificateProfile, file: RegistrationFile) -> Pseudonyms | None:
        identity = file.registration.identity
        wanted = profile.pseudonym or self._settings.person_serial is PersonSerial.OPAQUE
        if not wanted or not isinstance(identity, PersonIdentity):
            return None
        yearly, lasting = (
            secret_of(self._database, period, self._random_bytes(32)) for period in (period_of(self._now()), LASTING)
        )
        return pseudonyms_for(identity.national_code, self._settings, yearly=yearly, lasting=lasting)
