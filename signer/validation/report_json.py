"""The detailed report for programs: the line of `mohr verify --json`, and under each signature every check."""

import json
from typing import Any

from signer.validation.report import ReportedFile, verdict_json
from signer.validation.report_checks import (
    Check,
    Group,
    file_checks,
    part_of,
    process_of,
    signature_checks,
    timestamp_checks,
)
from signer.validation.verdict import FileVerdict, SignatureVerdict


def report_json(verdict: FileVerdict, file: ReportedFile) -> bytes:
    """Write the report as UTF-8, indented; the same verdict gives the same octets."""
    told = verdict_json(verdict, file.name) | {"sha256": file.sha256, "bytes": file.size}
    told["checks"] = [_group(group) for group in file_checks(verdict)]
    for written, signature in zip(told["signatures"], verdict.signatures, strict=True):
        _add_checks(written, signature, verdict)
    for written, stamp in zip(told["timestamps"], verdict.timestamps, strict=True):
        written["checks"] = _group(timestamp_checks(stamp, verdict.policy))
    return (json.dumps(told, ensure_ascii=False, indent=1) + "\n").encode("utf-8", "replace")


def _add_checks(written: dict[str, Any], signature: SignatureVerdict, file: FileVerdict) -> None:
    written["process"] = process_of(signature)
    written["checks"] = [_group(group) for group in signature_checks(signature, file)]
    for below, counter in zip(written["counter_signatures"], signature.counter_signatures, strict=True):
        _add_checks(below, counter, file)


def _group(group: Group) -> dict[str, Any]:
    return {
        "block": group.name,
        "clause": group.clause,
        "title_fa": group.title.fa,
        "title_en": group.title.en,
        "indication": None if group.indication is None else part_of(group.indication),
        "sub_indication": group.sub_indication,
        "constraints": [_check(check) for check in group.checks],
        "blocks": [_group(below) for below in group.groups],
    }


def _check(check: Check) -> dict[str, Any]:
    return {
        "constraint": check.constraint.name,
        "text_fa": check.constraint.asks.fa,
        "text_en": check.constraint.asks.en,
        "level": check.level,
        "outcome": check.outcome,
        "certificate": check.about or None,
        "evidence": check.evidence or None,
        "reasons": [
            {"code": found.reason, "detail": found.detail or None, "object": found.about or None}
            for found in check.findings
        ],
    }
