"""The authority's door to its issuing line."""

import secrets
from collections.abc import Callable

from ca.config import AuthoritySettings
from ca.context import AuthorityContext, nothing
from ca.issuance import TwinJudge
from ca.issuing.line import IssuingLine
from ca.issuing.orders import Channel, Issued, IssueOrder
from ca.officers.gate import OfficerGate
from hsm.provider import KeyProvider
from pki.clock import Clock
from storage.engine import Database


class IssuingDesk(AuthorityContext):
    """Use cases that end in a certificate; `line` takes many orders and orders that may come twice."""

    def __init__(
        self,
        database: Database,
        keys: KeyProvider,
        settings: AuthoritySettings,
        clock: Clock,
        *,
        gate: OfficerGate | None = None,
        before_intent: Callable[[], object] = nothing,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        super().__init__(
            database, keys, settings, clock, gate=gate, before_intent=before_intent, random_bytes=random_bytes
        )
        self.line = IssuingLine(database, keys, settings, clock, before_intent=before_intent, random_bytes=random_bytes)

    def issue(
        self,
        profile: str,
        file_id: str,
        csr: bytes,
        actor: str,
        *,
        unapproved: bool = False,
        lint_first: TwinJudge | None = None,
        channel: Channel = Channel.CLI,
    ) -> Issued:
        """Issue one certificate for a CSR's key to the holder of an approved file; errors as `IssuingLine.issue`."""
        order = IssueOrder(
            profile=profile,
            file_id=file_id,
            csr=csr,
            actor=actor,
            channel=channel,
            unapproved=unapproved,
            lint_first=lint_first,
        )
        return self.line.issue(order)
