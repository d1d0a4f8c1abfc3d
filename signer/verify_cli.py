"""`mohr verify`: files in, verdicts out, with or without a deployment. A composition root: it reads clock and disk.

Each file is judged in a process that is killed when it takes too long or too much. Exit status: 0 every signature
TOTAL-PASSED, 1 any TOTAL-FAILED, 2 anything else, 3 the command line is wrong or a file cannot be read.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final

import click

from pki.errors import ErrorCode, InvalidInput, NotFound, ServiceError
from pki.jose import canonical_json, json_object
from pki.messages import sentence
from signer.bulk import Results, check_table, files_under, spelled, table
from signer.files import check_writable, is_same_file, read_file, read_start, write_file
from signer.isolation.child import Contexts, serve
from signer.isolation.crew import judge_all
from signer.isolation.order import Answer, Form, Order, ReportKind
from signer.isolation.worker import SECONDS, Worker, forked
from signer.rendering import render
from signer.trust.relied import load_bundle, load_files, with_anchors, with_bundle, with_deployment, with_issuers
from signer.trust.signed import SignedBundle
from signer.validation.context import VerificationContext
from signer.validation.policy import BUILT_IN, Policy, parse_policy
from signer.validation.report import instant
from signer.validation.verdict import Indication
from signer.validation.verify import MAX_INPUT_OCTETS, aborted

MAX_SIDE_FILE: Final = 4 * 1024 * 1024
MAX_JOBS: Final = 64
ONLINE_SECONDS: Final = 10.0  # beyond a file's own time, while the network is asked

_EXIT: Final = {Indication.PASSED: 0, Indication.FAILED: 1, Indication.INDETERMINATE: 2}
_UNREADABLE: Final = 3
_REPORTS: Final = {
    ".html": ReportKind.HTML,
    ".htm": ReportKind.HTML,
    ".json": ReportKind.JSON,
    ".pdf": ReportKind.PDF,
    ".xml": ReportKind.XML,
}
_WORSE_LAST: Final = (0, 2, 1, 3)


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
@click.argument("files", metavar="FILE|DIR...", nargs=-1, required=True, type=click.Path(path_type=Path))
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
    "--issuers",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="PEM",
    help="Certificates of issuers that complete paths and are trusted for nothing; repeat for several.",
)
@click.option(
    "--policy",
    "policy_name",
    default="default",
    metavar="NAME|FILE",
    help="default, health-cluster, archive or a JSON file.",
)
@click.option("--at", type=_Instant(), help="The validation time; now if not given.")
@click.option("--offline", is_flag=True, help="Fetch no status and no issuer from the network.")
@click.option("--home", type=click.Path(path_type=Path), metavar="DIR", help="A deployment whose root and CRLs to use.")
@click.option(
    "--trust",
    type=click.Path(path_type=Path),
    metavar="BUNDLE",
    help="A trust bundle that is kept (mohr trust keep), or a bundle with its --trust-signer.",
)
@click.option(
    "--trust-signer",
    "trust_signers",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="PEM",
    help="A certificate of the key that signs trust bundles; repeat for several.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a file, one a line.")
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    metavar="OUT.html|.pdf|.json|.xml",
    help="Write a report for people (HTML, PDF) or for programs (JSON, ETSI TS 119 102-2 XML) about one FILE.",
)
@click.option("--jobs", type=click.IntRange(1, MAX_JOBS), default=1, show_default=True, help="Files judged at once.")
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    metavar="OUT.jsonl",
    help="Keep verdicts in a file; given again, what it holds is not judged again.",
)
@click.option("--csv", "csv_file", type=click.Path(path_type=Path), metavar="OUT.csv", help="Write a table, too.")
@click.pass_context
def verify(
    ctx: click.Context,
    *,
    files: tuple[Path, ...],
    content: Path | None,
    anchors: tuple[Path, ...],
    issuers: tuple[Path, ...],
    policy_name: str,
    at: datetime | None,
    offline: bool,
    home: Path | None,
    trust: Path | None,
    trust_signers: tuple[Path, ...],
    as_json: bool,
    report: Path | None,
    jobs: int,
    results: Path | None,
    csv_file: Path | None,
) -> None:
    """Verify signed files of any known format, found from their bytes; of a folder, every file below it.

    Example: mohr verify prescription.jades.json --anchor root.pem --json
    """
    try:
        _check_report(report, files)
        now = datetime.now(UTC)
        bundle = None if trust is None else load_bundle(trust, load_files(trust_signers), now)
        context = _context(anchors, home, bundle, at=at or now, policy=policy_name, content=content, offline=offline)
        context = with_issuers(context, issuers)
        sitting = _Sitting(context, Form.JSON if as_json or results or csv_file else Form.TEXT, report, jobs)
        outputs = [path for path in (results, csv_file, report) if path is not None]
        _check_outputs(outputs, [content, *anchors, *issuers, Path(policy_name), trust, *trust_signers])
        if csv_file is not None:
            check_table(csv_file)
            check_writable(csv_file)
        found = files_under(files, but=outputs)
        if report is not None and len(found) != 1:
            raise click.UsageError("a report is about one FILE")
        if results is not None:
            inputs = _fingerprint(context, at, home)
            sitting.go_on(found, results, inputs, csv_file)
        elif csv_file is not None:
            sitting.tabulate(found, csv_file)
        else:
            sitting.judge(found, lambda answer: click.echo(answer.text))
    except ServiceError as error:
        raise click.ClickException(sentence(error)) from error
    ctx.exit(max(sitting.statuses, key=_WORSE_LAST.index, default=_EXIT[Indication.INDETERMINATE]))


def _context(
    anchors: tuple[Path, ...],
    home: Path | None,
    trust: SignedBundle | None,
    *,
    at: datetime,
    policy: str,
    content: Path | None,
    offline: bool,
) -> VerificationContext:
    """Gather trust and status sources: the anchors given, the deployment's folder, the trust bundle."""
    context = VerificationContext(
        at=at,
        policy=_load_policy(policy),
        content=None if content is None else _read_content(content),
        offline=offline,
    )
    context = with_anchors(context, anchors)
    if home is not None:
        context = with_deployment(context, home)
    return context if trust is None else with_bundle(context, trust.bundle)


def _contexts(context: VerificationContext) -> Contexts:
    """Return what makes the next file's context: with the network last, and all of its time, if it is asked."""
    if context.offline or not context.anchors:
        return lambda: context
    from signer.validation.status_online import OnlineStatus  # loads TLS: not for offline use

    online = OnlineStatus()

    def next_one() -> VerificationContext:
        renewed = online.renewed()
        return replace(context, status_sources=(*context.status_sources, renewed), issuer_sources=(renewed,))

    return next_one


def _load_policy(name: str) -> Policy:
    return BUILT_IN[name] if name in BUILT_IN else parse_policy(read_file(Path(name), limit=MAX_SIDE_FILE))


def _check_report(report: Path | None, files: tuple[Path, ...]) -> None:
    if report is None:
        return
    if report.suffix.lower() not in _REPORTS:
        raise click.UsageError(
            f"a report as {report.suffix or 'a file without suffix'} is not known; use .html, .pdf, .json or .xml"
        )
    if len(files) != 1 or is_same_file(report, files[0]):
        raise click.UsageError("a report is about one FILE, and is another file")
    check_writable(report)


def _check_outputs(outputs: Sequence[Path], inputs: Sequence[Path | None]) -> None:
    """Refuse to write over what is read beside the files, and two outputs into one file."""
    for index, path in enumerate(outputs):
        if any(one is not None and is_same_file(path, one) for one in inputs):
            raise InvalidInput(ErrorCode.FILE_UNWRITABLE, f"{path.name} is to be read")
        if any(path.absolute() == other.absolute() or is_same_file(path, other) for other in outputs[:index]):
            raise click.UsageError(f"two outputs into {path.name}")


def _read_content(path: Path) -> bytes:
    data = _read(path)
    if len(data) > MAX_INPUT_OCTETS:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, str(path))
    return data


def _read(path: Path) -> bytes:
    """Read a file that may be empty, and no more of it than tells that it is too large."""
    try:
        return read_start(path, MAX_INPUT_OCTETS + 1)
    except OSError as error:
        raise NotFound(ErrorCode.FILE_UNREADABLE, f"{path}: {error.strerror or type(error).__name__}") from error


class _Sitting:
    """One run over files: how each ended is in `statuses`, as the exit status that it asks for."""

    def __init__(self, context: VerificationContext, form: Form, report: Path | None, jobs: int) -> None:
        self._context, self._form, self._report, self._jobs = context, form, report, jobs
        self.statuses: list[int] = []

    def judge(self, paths: Sequence[Path], take: Callable[[Answer], None]) -> None:
        """Judge files and give each answer to `take`, in their order."""
        if not paths:
            return
        context = self._context
        child = partial(serve, contexts=_contexts(context), render=render)
        seconds = SECONDS if context.offline else SECONDS + ONLINE_SECONDS
        workers = [Worker(forked(child), seconds=seconds) for _ in range(min(self._jobs, len(paths)))]
        for order, answer in judge_all(self._orders(_with_progress(paths)), workers):
            told = render(aborted(order.data[:4096], context, "time or memory"), order) if answer is None else answer
            self.statuses.append(_EXIT[told.indication])
            take(told)
            if self._report is not None:
                write_file(self._report, told.report)

    def tabulate(self, paths: Sequence[Path], csv_file: Path) -> None:
        """Judge files and write a table of them."""
        rows = list(table([]))

        def keep(answer: Answer) -> None:
            _, row = table([json_object(answer.text)])
            rows.append(row)

        self.judge(paths, keep)
        _write_table(csv_file, rows)

    def go_on(self, paths: Sequence[Path], results_file: Path, inputs: str, csv_file: Path | None) -> None:
        """Judge what a results file does not hold yet; the validation time is that of its first sitting."""
        run = {"inputs": inputs, "at": instant(self._context.at)}
        with Results.open(results_file, run) as results:
            self._context = replace(self._context, at=datetime.fromisoformat(results.run["at"]))
            left = [path for path in paths if not self._is_known(path, results)]
            self.judge(left, lambda answer: results.add(answer.text))
            if csv_file is not None:
                _write_table(csv_file, table(results.verdicts()))
        passed, failed, undecided, unread = (self.statuses.count(status) for status in (0, 1, 2, 3))
        click.echo(f"{passed} valid, {failed} not valid, {undecided} undecided, {unread} not readable", err=True)

    def _is_known(self, path: Path, results: Results) -> bool:
        if not results.names(spelled(path)):
            return False
        try:
            known = results.known.get((spelled(path), sha256(_read(path)).hexdigest()))
        except NotFound:
            return False  # said when it is to be judged
        if known is not None:
            self.statuses.append(_EXIT[known])
        return known is not None

    def _orders(self, paths: Iterator[Path]) -> Iterator[Order]:
        for path in paths:
            try:
                data = _read(path)
            except NotFound as error:
                click.echo(sentence(error), err=True)
                self.statuses.append(_UNREADABLE)
            else:
                yield Order(
                    data=data,
                    name=spelled(path),
                    form=self._form,
                    report=None if self._report is None else _REPORTS[self._report.suffix.lower()],
                )


def _with_progress(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield files under a bar that tells how many are done, at a terminal that shows nothing else."""
    if len(paths) < 2 or not sys.stderr.isatty() or sys.stdout.isatty():
        yield from paths
        return
    with click.progressbar(paths, file=sys.stderr, label="verify", show_pos=True) as bar:
        yield from bar


def _write_table(path: Path, rows: Iterable[str]) -> None:
    write_file(path, "".join(rows).encode("utf-8", "replace"))


def _fingerprint(context: VerificationContext, at: datetime | None, home: Path | None) -> str:
    """Digest what a run is asked beside its files."""
    certificates = sorted(one.sha256.hex() for one in (*context.anchors, *context.intermediates))
    said = {
        "certificates": certificates,
        "limited": sorted(one.sha256.hex() for one in context.limits),
        "clusters": {name: sorted(keys) for name, keys in context.clusters.items()},
        "bundle": None if context.bundle is None else context.bundle.sha256,
        "policy": _stable(context.policy),
        "content": None if context.content is None else sha256(context.content).hexdigest(),
        "offline": context.offline,
        "home": None if home is None else str(home),
        "at": instant(at),
    }
    return sha256(canonical_json(said)).hexdigest()


def _stable(value: object) -> str:
    """Write a policy's values in the same way in every process, where sets have no order."""
    if isinstance(value, frozenset):
        return f"{{{', '.join(sorted(map(_stable, value)))}}}"
    if isinstance(value, Mapping):
        return _stable(frozenset((str(key), _stable(one)) for key, one in value.items()))
    if isinstance(value, tuple):
        return f"({', '.join(map(_stable, value))})"
    if is_dataclass(value):
        shown = (field.name for field in fields(value) if field.repr)
        return _stable(tuple((name, getattr(value, name)) for name in shown))
    return repr(value)
