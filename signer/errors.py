"""What can go wrong while signing and time-stamping, beyond `pki.errors`."""

from pki.errors import ErrorCode, InvalidInput, Unavailable, VerificationFailed


class SignerMismatch(VerificationFailed):
    """The key at hand is not the key of the signer's certificate, or its signature does not verify."""

    def __init__(self, detail: str) -> None:
        super().__init__(ErrorCode.VERIFICATION_FAILED, detail)


class DocumentUnsignable(InvalidInput):
    """The document is of a kind, or holds something, that must not be signed as it is."""

    def __init__(self, detail: str) -> None:
        super().__init__(ErrorCode.DOCUMENT_UNSIGNABLE, detail)


class PdfTooComplex(InvalidInput):
    """The PDF takes more reading than any document that people sign."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.INPUT_TOO_LARGE, "the PDF is too complex")


class TimestampUnavailable(Unavailable):
    """The time-stamping authority does not answer, or says that it cannot now."""

    def __init__(self, detail: str) -> None:
        super().__init__(ErrorCode.TIMESTAMP_UNAVAILABLE, detail)


class TimestampInvalid(VerificationFailed):
    """The time-stamping authority answered with something that is not the token asked for."""

    def __init__(self, detail: str) -> None:
        super().__init__(ErrorCode.TIMESTAMP_INVALID, detail)
