"""What can go wrong with keys in devices, by the name of what the caller can do about it."""

from pki.errors import (
    Conflict,
    ErrorCode,
    InvalidInput,
    NotAllowed,
    NotFound,
    Unavailable,
    VerificationFailed,
)


class HsmUnavailable(Unavailable):
    """The device or its custodian does not answer; the same request may succeed later."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(ErrorCode.HSM_UNAVAILABLE, detail)


class DeviceLost(HsmUnavailable):
    """The device is gone: the module must be initialised again before it can answer."""


class KeyAbsent(DeviceLost):
    """The device answers, but the key is not in it: it was wiped, or shows nothing while its store is away."""


class SessionLost(HsmUnavailable):
    """The device is there but forgot our session or object: a new session cures it."""


class KeyMismatch(HsmUnavailable):
    """The device shows another key than the recorded one, or several: nothing is signed until a person looks."""


class KeyNotFound(NotFound):
    """No key goes by this label."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(ErrorCode.HSM_KEY_NOT_FOUND, detail)


class KeyExists(Conflict):
    """A key already goes by this label."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(ErrorCode.HSM_KEY_EXISTS, detail)


class PurposeRefused(NotAllowed):
    """The bytes are not what this key is for; they will never be signed by it."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(ErrorCode.HSM_PURPOSE_REFUSED, detail)


class RoleRefused(NotAllowed):
    """The asking process may not do this with this custodian."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(ErrorCode.NOT_ALLOWED, detail)


class RateExceeded(Unavailable):
    """This role has used this key as often as the policy allows for now."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(ErrorCode.HSM_RATE_EXCEEDED, detail)


class PinIncorrect(NotAllowed):
    """The device refused the PIN, or trying it again would risk locking the device."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(ErrorCode.HSM_PIN_INCORRECT, detail)


class PinMalformed(InvalidInput):
    """What was given as a PIN cannot be one."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(ErrorCode.PIN_FORMAT, detail)


class MechanismRefused(InvalidInput):
    """The device cannot do what was asked with this kind of key."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(ErrorCode.KEY_REFUSED, detail)


class ProtocolViolation(InvalidInput):
    """A frame between client and custodian breaks the protocol."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(ErrorCode.HSM_PROTOCOL, detail)


class ConfigurationInvalid(InvalidInput):
    """A custodian's settings, key file or PIN file cannot be used as it is."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(ErrorCode.INPUT_MALFORMED, detail)


class ShareMalformed(InvalidInput):
    """What was typed is no share; `groups` are the groups, from 1, that are wrong while all others are right."""

    def __init__(self, detail: str = "", groups: tuple[int, ...] = ()) -> None:
        super().__init__(ErrorCode.SHARE_MALFORMED, detail)
        self.groups = groups


class ShareWrong(VerificationFailed):
    """A share is not the one that was dealt, or shares do not give the secret that was divided."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(ErrorCode.SHARE_WRONG, detail)


class ShareForeign(ShareWrong):
    """A share was dealt in another ceremony."""


class ShareRepeated(Conflict):
    """A share was given already: each counts once."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(ErrorCode.CONFLICT, detail)


class SharesMissing(Conflict):
    """Too few shares were given to say anything about the secret."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(ErrorCode.CONFLICT, detail)
