"""The ports to the registries, and which of them is asked about whom.

An adapter for a national registry implements one of the four; the pilot's read files (`pilot_file`). Adapters may
raise, hang or answer nonsense: `asking.Interviewer` makes silence of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from ca.registries.answers import RegistryWord, Source
from pki.identity import CentreIdentity, ClinicianIdentity, PersonIdentity, SiamId

Question = Callable[[], RegistryWord]


class CouncilRegistry(Protocol):
    """A professional council: number, profession and name belong together, and the licence is in force."""

    def ask(self, clinician: ClinicianIdentity, now: datetime) -> RegistryWord:
        """Say whether the claims hold."""
        ...


class CivilRegistry(Protocol):
    """The civil registry: national code and name belong together, and the person lives."""

    def ask(self, person: PersonIdentity, now: datetime) -> RegistryWord:
        """Say whether the claims hold."""
        ...


class SiamRegistry(Protocol):
    """The register of centres: SIAM id, name, kind, legal entity and place belong together."""

    def ask(self, centre: CentreIdentity, now: datetime) -> RegistryWord:
        """Say whether the claims hold."""
        ...


class LicenceRegistry(Protocol):
    """The operating licences of centres."""

    def ask(self, siam_id: SiamId, now: datetime) -> RegistryWord:
        """Say whether the centre's licence is in force."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Registries:
    """The registries of a deployment; None where it has none of the kind."""

    council: CouncilRegistry | None = None
    civil: CivilRegistry | None = None
    siam: SiamRegistry | None = None
    licence: LicenceRegistry | None = None

    def questions(self, identity: object, now: datetime) -> dict[Source, Question]:
        """Return what is to be asked about a holder, by source; nothing about systems and officers."""
        found: dict[Source, Question] = {}
        if isinstance(identity, PersonIdentity) and (civil := self.civil) is not None:
            found[Source.CIVIL] = lambda: civil.ask(identity, now)
        if isinstance(identity, ClinicianIdentity) and (council := self.council) is not None:
            found[Source.COUNCIL] = lambda: council.ask(identity, now)
        if isinstance(identity, CentreIdentity) and (siam := self.siam) is not None:
            found[Source.SIAM] = lambda: siam.ask(identity, now)
        if isinstance(identity, CentreIdentity) and (licence := self.licence) is not None:
            found[Source.LICENCE] = lambda: licence.ask(identity.siam_id, now)
        return found


NO_REGISTRIES: Final = Registries()
