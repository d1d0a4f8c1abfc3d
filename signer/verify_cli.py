"""`mohr verify`: files in, verdicts out, with or without a deployment. A composition root: it reads clock and disk.

Exit status: 0 every signature TOTAL-PASSED, 1 any TOTAL-FAILED, 2 anything else, 3 the command line is
wrong or a file cannot be read.
"""

import json
import unicodedata
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from pki.certificates import Certificate, load_certificates
from pki.errors import ErrorCode, InvalidInput, NotFound, ServiceError
from pki.messages import sentence
from signer.files import check_writable, is_same_file, read_file, write_file
from signer.validation.context import VerificationContext
from signer.validation.names import readable_name
from signer.validation.policy import BUILT_IN, Policy, parse_policy
from signer.validation.reasons import REASONS
from signer.validation.report import instant, verdict_json
from signer.validation.status import IssuerSource, StatusSource
from signer.validation.status_local import LocalStatus, load_trust
from signer.validation.verdict import FileVerdict, Indication, SignatureVerdict
from signer.validation.verify import MAX_INPUT_OCTETS, verify_bytes

MAX_SIDE_FILE: Final = 4 * 1024 * 1024

_EXIT: Final = {Indication.PASSED: 0, Indication.FAILED: 1, Indication.INDETERMINATE: 2}
_UNREADABLE: Final = 3
_WORSE_LAST: Final = (0, 2, 1, 3)
_MARKS: Final = {
    Indication.PASSED: "معتبر / valid",
    Indication.FAILED: "نامعتبر / not valid",
    Indication.INDETERMINATE: "نامعین / undecided",
}


class _Instant(click.ParamType[datetime]):
    """An RFC 3339 instant with its offset."""

    name = "RFC3339"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read an aware instant of a sane year."""
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is not an instant such as 2026-11-22T09:00:00Z", param, ctx)
        if moment.tzinfo is None or not 1950 <= moment.year < 9000:
            self.fail("an instant needs its offset (Z) and a year from 1950", param, ctx)
        return moment.astimezone(UTC)


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--content", type=click.Path(path_type=Path), help="What a detached signature or time-stamp covers.")
@click.option(
    "--anchor",
    "anchors",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="PEM",
    help="A trusted root, intermediate or signer's certificate; repeat for several.",
)
@click.option(
    "--policy", "policy_name", default="default", metavar="NAME|FILE", help="default, health-cluster or a JSON file."
)
@click.option("--at", type=_Instant(), help="The validation time; now if not given.")
@click.option("--offline", is_flag=True, help="Fetch no status and no issuer from the network.")
@click.option("--home", type=click.Path(path_type=Path), metavar="DIR", help="A deployment whose root and CRLs to use.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a file, one a line.")
@click.option(
    "--report", type=click.Path(path_type=Path), metavar="OUT.html", help="Write a report for people; one FILE."
)
@click.pass_context
def verify(
    ctx: click.Context,
    *,
    files: tuple[Path, ...],
    content: Path | None,
    anchors: tuple[Path, ...],
    policy_name: str,
    at: datetime | None,
    offline: bool,
    home: Path | None,
    as_json: bool,
    report: Path | None,
) -> None:
    """Verify signed files of any known format, found from their bytes.

    Example: mohr verify prescription.jades.json --anchor root.pem --json
    """
    try:
        _check_report(report, files)
        context = _context(
            anchors, home, at=at or datetime.now(UTC), policy=policy_name, content=content, offline=offline
        )
    except ServiceError as error:
        raise click.ClickException(sentence(error)) from error
    statuses = [_verify_one(path, context, as_json=as_json, report=report) for path in files]
    ctx.exit(max(statuses, key=_WORSE_LAST.index))


def _context(
    anchors: tuple[Path, ...], home: Path | None, *, at: datetime, policy: str, content: Path | None, offline: bool
) -> VerificationContext:
    """Gather trust and status sources: the anchors given, the deployment's folder, and the network last."""
    trusted = [
        certificate for path in anchors for certificate in load_certificates(read_file(path, limit=MAX_SIDE_FILE))
    ]
    intermediates: tuple[Certificate, ...] = ()
    status: list[StatusSource] = []
    issuers: tuple[IssuerSource, ...] = ()
    asked = _load_policy(policy)
    if home is not None:
        local = load_trust(home)
        trusted.extend(local.anchors)
        intermediates = local.intermediates
        asked = local.reading(asked)
        status.append(LocalStatus(folder=home / "public" / "crl"))
    if trusted and not offline:
        from signer.validation.status_online import OnlineStatus  # loads TLS: not for offline use

        online = OnlineStatus()
        status.append(online)
        issuers = (online,)
    return VerificationContext(
        at=at,
        anchors=tuple(trusted),
        intermediates=intermediates,
        status_sources=tuple(status),
        issuer_sources=issuers,
        policy=asked,
        content=None if content is None else _read_content(content),
        offline=offline,
    )


def _load_policy(name: str) -> Policy:
    return BUILT_IN[name] if name in BUILT_IN else parse_policy(read_file(Path(name), limit=MAX_SIDE_FILE))


def _check_report(report: Path | None, files: tuple[Path, ...]) -> None:
    if report is None:
        return
    if report.suffix.lower() not in (".html", ".htm"):
        raise click.UsageError(f"a report as {report.suffix or 'a file without suffix'} is not there yet; use .html")
    if len(files) != 1 or is_same_file(report, files[0]):
        raise click.UsageError("a report is about one FILE, and is another file")
    check_writable(report)


def _read_content(path: Path) -> bytes:
    data = _read(path)
    if len(data) > MAX_INPUT_OCTETS:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, str(path))
    return data


def _read(path: Path) -> bytes:
    """Read a file that may be empty, and no more of it than tells that it is too large."""
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_INPUT_OCTETS + 1)
    except OSError as error:
        raise NotFound(ErrorCode.FILE_UNREADABLE, f"{path}: {error.strerror or type(error).__name__}") from error


def _verify_one(path: Path, context: VerificationContext, *, as_json: bool, report: Path | None) -> int:
    """Verify one file, print its verdict and return the exit status it asks for."""
    try:
        data = _read(path)
    except NotFound as error:
        click.echo(sentence(error), err=True)
        return _UNREADABLE
    verdict = verify_bytes(data, context)
    if as_json:
        line = json.dumps(verdict_json(verdict, str(path)), ensure_ascii=False, separators=(",", ":"))
        click.echo(line.encode("utf-8", "replace"))
    else:
        click.echo(_for_people(verdict, path).encode("utf-8", "replace"))
    if report is not None:
        from signer.validation.report_html import report_html

        try:
            write_file(report, report_html(verdict, path.name).encode("utf-8", "replace"))
        except ServiceError as error:
            raise click.ClickException(sentence(error)) from error
    return _EXIT[verdict.indication]


def _for_people(verdict: FileVerdict, path: Path) -> str:
    """Write the short bilingual answer: one line for the file, a few for each signature."""
    code = f"{verdict.indication}/{verdict.sub_indication}" if verdict.sub_indication else verdict.indication
    lines = [f"{path}: {_MARKS[verdict.indication]} [{code}] {verdict.format or '-'}"]
    lines += [f"  {REASONS[f.reason].fa} | {REASONS[f.reason].en}" for f in verdict.findings]
    for signature in verdict.signatures:
        lines += _signature_lines(signature)
    lines += [f"  timestamp {instant(s.generated_at) or '-'} {s.indication}" for s in verdict.timestamps]
    return "\n".join(_printable(line) for line in lines)


def _signature_lines(verdict: SignatureVerdict) -> list[str]:
    certificate = verdict.signer.certificate if verdict.signer else None
    signer = readable_name(certificate.subject_der) if certificate else "-"
    time = instant(verdict.proven_at or verdict.claimed_at) or "-"
    grade = f"care={verdict.care} level={verdict.level or '-'} assurance={verdict.assurance}"
    lines = [
        f"  {verdict.id}: {verdict.indication} crypto={verdict.crypto} {grade}",
        f"    {signer}",
        f"    {time} ({verdict.time_proof})",
    ]
    for finding in verdict.findings:
        message = REASONS[finding.reason]
        lines.append(f"    - {message.fa} | {message.en} [{finding.reason}]")
    return lines


def _printable(text: str) -> str:
    """Replace control and direction characters: a stranger's name must not steer the terminal."""
    return "".join("\ufffd" if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c != "\u200c" else c for c in text)
