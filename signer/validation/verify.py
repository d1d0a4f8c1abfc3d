"""The verifier's door: any bytes in, one verdict out (EN 319 102-1 §5). It never raises and never logs.

The procedure, in the standard's order:
1. format: found from the bytes, parsed strictly, within limits;
2. time-stamps: judged latest first; what they prove decides the moment of everything else (§5.4, §5.6.2);
3. signing certificate: identified by the signed reference (§5.2.3);
4. cryptography: digests, then the signature value (§5.2.7);
5. certificate: path, purpose, validity, status, algorithms at the proven moment (§5.2.6, §5.5);
6. acceptance: what the policy asks of the signature itself (§5.2.8);
7. conclusion: any failure before any doubt, then the standard's order (§5.1.3).
"""

from typing import Final

from pki.errors import ServiceError
from signer.parsers.detect import detect
from signer.parsers.model import MAX_DIGESTED_OCTETS, Format, ParsedFile, with_counters
from signer.parsers.parse import parse
from signer.validation.context import VerificationContext
from signer.validation.evidence import gather
from signer.validation.reasons import Reason
from signer.validation.signature import judge, noted
from signer.validation.timestamps import prove_existence
from signer.validation.verdict import (
    FileVerdict,
    Finding,
    Indication,
    SubIndication,
    failed,
    indeterminate,
    note,
)

MAX_INPUT_OCTETS: Final = 64 * 1024 * 1024

_WORST_FIRST: Final = (Indication.FAILED, Indication.INDETERMINATE, Indication.PASSED)


def verify_bytes(data: bytes, context: VerificationContext) -> FileVerdict:
    """Judge any bytes. Always answers: what cannot be read is a verdict, never an exception."""
    form: Format | None = None
    try:
        if len(data) > MAX_INPUT_OCTETS:
            return too_large(data[:4096], context)
        form = detect(data)
        if form is None:
            reason = Reason.FORMAT_UNKNOWN
            return _file(None, Indication.INDETERMINATE, None, context, findings=(note(reason),))
        return _judge_file(parse(data, form, context.content), context)
    except ServiceError as error:
        return _malformed(form, error.detail, context)
    except MemoryError:
        pass  # what filled it is let go of with the exception: nothing can be said before
    except Exception as error:  # noqa: BLE001 - documented boundary: the verifier always answers, and fails closed
        return _malformed(form, type(error).__name__, context)
    return aborted(data[:4096], context, "memory")


def too_large(head: bytes, context: VerificationContext) -> FileVerdict:
    """Answer for a file that is larger than `MAX_INPUT_OCTETS`, from its first octets."""
    finding = indeterminate(Reason.INPUT_TOO_LARGE, SubIndication.GENERIC, f"more than {MAX_INPUT_OCTETS} octets")
    return _file(detect(head), Indication.INDETERMINATE, SubIndication.GENERIC, context, findings=(finding,))


def aborted(head: bytes, context: VerificationContext, detail: str) -> FileVerdict:
    """Answer for a file whose verification came to no end, from its first octets."""
    finding = indeterminate(Reason.VERIFICATION_ABORTED, SubIndication.GENERIC, detail)
    return _file(detect(head), Indication.INDETERMINATE, SubIndication.GENERIC, context, findings=(finding,))


def _malformed(form: Format | None, detail: str, context: VerificationContext) -> FileVerdict:
    finding = failed(Reason.FORMAT_MALFORMED, SubIndication.FORMAT_FAILURE, detail)
    return _file(form, Indication.FAILED, SubIndication.FORMAT_FAILURE, context, findings=(finding,))


def _file(
    form: Format | None,
    indication: Indication,
    sub_indication: SubIndication | None,
    context: VerificationContext,
    *,
    findings: tuple[Finding, ...] = (),
) -> FileVerdict:
    return FileVerdict(
        format=form,
        indication=indication,
        sub_indication=sub_indication,
        validated_at=context.at,
        policy=context.policy,
        offline=context.offline,
        bundle=context.bundle,
        findings=findings,
    )


def _octets_to_digest(parsed: ParsedFile) -> int:
    signatures = list(with_counters(parsed.signatures))
    pieces = [item.octets for signature in signatures for item in signature.objects]
    pieces += [
        stamp.imprinted for stamp in (*parsed.timestamps, *(stamp for s in signatures for stamp in s.timestamps))
    ]
    return sum(len(piece) for octets in pieces for piece in octets or ())


def _judge_file(parsed: ParsedFile, context: VerificationContext) -> FileVerdict:
    if _octets_to_digest(parsed) > MAX_DIGESTED_OCTETS:
        detail = f"more than {MAX_DIGESTED_OCTETS} octets to digest"
        finding = indeterminate(Reason.INPUT_TOO_LARGE, SubIndication.GENERIC, detail)
        return _file(parsed.format, Indication.INDETERMINATE, SubIndication.GENERIC, context, findings=(finding,))
    evidence = gather(parsed, context)
    stamps = parsed.timestamps + tuple(stamp for s in with_counters(parsed.signatures) for stamp in s.timestamps)
    proofs = prove_existence(stamps, evidence, context)
    verdicts = tuple(judge(s, parsed, proofs, evidence, context) for s in parsed.signatures)
    findings = tuple(noted(item) for item in parsed.notes)
    if not verdicts:
        findings += (note(Reason.NOTHING_SIGNED),)
    worst = min(verdicts, key=lambda v: _WORST_FIRST.index(v.indication), default=None)
    return FileVerdict(
        format=parsed.format,
        indication=worst.indication if worst else Indication.INDETERMINATE,
        sub_indication=worst.sub_indication if worst else None,
        validated_at=context.at,
        policy=context.policy,
        offline=context.offline,
        bundle=context.bundle,
        signatures=verdicts,
        timestamps=tuple(proofs.verdicts[stamp.place] for stamp in parsed.timestamps),
        findings=findings,
    )
