"""The authority's door to its issuing line."""

from functools import cached_property

from ca.context import AuthorityContext
from ca.issuance import TwinJudge
from ca.issuing.line import IssuingLine
from ca.issuing.orders import Channel, Issued, IssueOrder


class IssuingDesk(AuthorityContext):
    """Use cases that end in a certificate; `line` takes many orders and orders that may come twice."""

    @cached_property
    def line(self) -> IssuingLine:
        """The one line of this process."""
        return IssuingLine(
            self._database,
            self._keys,
            self._settings,
            self._clock,
            gate=self._gate,
            before_intent=self._before_intent,
            random_bytes=self._random_bytes,
        )

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
