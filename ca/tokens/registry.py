"""The port to the registries of centres: what is asked, and what can be answered.

An adapter for a national registry implements `CentreRegistry`; the pilot's is `registry_file.FileRegistry`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from ca.tokens.lights import Answer, LightKind, RegistryAnswer
from pki.identity import CentreIdentity, SiamId


def is_system_id(text: str) -> bool:
    """Whether `text` can name a system: 1 to 64 printable ASCII characters without spaces."""
    return 0 < len(text) <= 64 and text.isascii() and text.isprintable() and " " not in text


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryReport:
    """What the registries said of one centre and one system: an answer for each kind of light.

    `centre` is there when the centre was found.
    """

    answers: tuple[RegistryAnswer, ...]
    centre: CentreIdentity | None = None

    @staticmethod
    def silence(source: str, now: datetime) -> "RegistryReport":
        """Return the report of a source that did not answer."""
        return RegistryReport(
            answers=tuple(RegistryAnswer(kind=kind, answer=Answer.SILENT, source=source, at=now) for kind in LightKind)
        )


class CentreRegistry(Protocol):
    """Say what the sources of the three lights know. Never raises: what cannot be learnt is silence."""

    def ask(self, siam_id: SiamId, system_id: str, now: datetime) -> RegistryReport:
        """Return one answer for each kind of light."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """One light as a registry records it. `reference` is the registry's own number of it."""

    state: Answer
    reference: str = ""
    valid_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredCentre:
    """One centre: its identity and what is attested of it and of its systems, by system id."""

    identity: CentreIdentity
    operating_licence: Attestation
    siam: Attestation
    systems: Mapping[str, Attestation]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything a registry says. `as_of` is None when it is read live, hence as new as the reading.

    "Not found" is a no only from a snapshot that is `complete`, else silence.
    """

    source: str
    complete: bool
    centres: Mapping[SiamId, RegisteredCentre]
    as_of: datetime | None = None

    def report(self, siam_id: SiamId, system_id: str, now: datetime) -> RegistryReport:
        """Answer for one centre and system."""
        absent = Attestation(state=Answer.FAILED if self.complete else Answer.SILENT, reference="not-found")
        centre = self.centres.get(siam_id)
        found = {
            LightKind.OPERATING_LICENCE: centre.operating_licence if centre else absent,
            LightKind.SIAM_ID: centre.siam if centre else absent,
            LightKind.CERTIFIED_SYSTEM: centre.systems.get(system_id, absent) if centre else absent,
        }
        answers = tuple(
            RegistryAnswer(
                kind=kind,
                answer=attested.state,
                source=self.source,
                at=self.as_of or now,
                reference=attested.reference,
                valid_until=attested.valid_until,
            )
            for kind, attested in found.items()
        )
        return RegistryReport(answers=answers, centre=centre.identity if centre else None)
