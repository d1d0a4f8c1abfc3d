"""What enrolment refuses."""

from pki.errors import ErrorCode, NotAllowed


class EnrolmentUnproven(NotAllowed):
    """Who asks proved nothing that allows an enrolment; `reason` names what was wrong with the proof."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(ErrorCode.ENROLMENT_UNPROVEN, detail, reason=reason)
