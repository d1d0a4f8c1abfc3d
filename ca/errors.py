"""What the authority refuses, by the name of what the caller can do about it."""

from ca.lint.findings import GATE, Finding
from pki.errors import Conflict, ErrorCode, InvalidInput, NotAllowed, NotFound


class LintFailed(InvalidInput):
    """The prepared certificate breaks rules; no key was touched."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        stopping = next((f.code for f in findings if f.severity >= GATE), "")
        said = "; ".join(str(finding) for finding in findings)
        super().__init__(ErrorCode.LINT_FAILED, said, reason=f"lint.{stopping}" if stopping else "")
        self.findings = findings


class TokenSpent(Conflict):
    """An issuance token was used a second time: one lint, one signature."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.CONFLICT, "this issuance token is spent")


class ProfileUnknown(NotFound):
    """No profile goes by this name."""

    def __init__(self, name: str) -> None:
        super().__init__(ErrorCode.PROFILE_UNKNOWN, name[:64], reason="profile.unknown")


class ProfileRetired(Conflict):
    """Nothing new is issued by this profile."""

    def __init__(self, name: str) -> None:
        super().__init__(ErrorCode.PROFILE_RETIRED, name, reason="profile.retired")


class ProfileInvalid(InvalidInput):
    """A profile set breaks a rule; the detail names the member and the rule."""

    def __init__(self, member: str, rule: str) -> None:
        super().__init__(ErrorCode.PROFILE_INVALID, f"{member}: {rule}")
        self.member = member
        self.rule = rule


class ProfileMismatch(NotAllowed):
    """The profile is not for this kind of holder, or not for requests from outside."""

    def __init__(self, detail: str, reason: str) -> None:
        super().__init__(ErrorCode.NOT_ALLOWED, detail, reason=reason)


class KeyRefused(InvalidInput):
    """The public key must not be certified."""

    def __init__(self, detail: str, reason: str) -> None:
        super().__init__(ErrorCode.KEY_REFUSED, detail, reason=reason)


class FourEyesRequired(NotAllowed):
    """Somebody would approve what is their own, or approve twice."""

    def __init__(self, detail: str, reason: str = "") -> None:
        super().__init__(ErrorCode.FOUR_EYES, detail, reason=reason)


class NotApproved(NotAllowed):
    """The registration file does not carry two approvals."""

    def __init__(self, detail: str, reason: str) -> None:
        super().__init__(ErrorCode.NOT_APPROVED, detail, reason=reason)


class IllegalTransition(Conflict):
    """The present state forbids the act."""

    def __init__(self, detail: str, *, reason: str = "") -> None:
        super().__init__(ErrorCode.STATE_ILLEGAL, detail, reason=reason)


class CrlRegression(Conflict):
    """A CRL would lose an entry or go back in number or time; it was not published."""

    def __init__(self, detail: str) -> None:
        super().__init__(ErrorCode.CRL_REGRESSION, detail)
