"""Registration files, bulk jobs and alarms as JSON, the same from commands and the API; national codes stay inside."""

from datetime import datetime
from typing import Any, Final

from ca.bulk.records import BulkApproval, Progress, RowResult
from ca.evidence.records import Attachment
from ca.linting.verdicts import Alarm
from ca.registration import Approval, RegistrationFile
from ca.registries.answers import No, RegistryWord, Silent
from pki.instants import format_instant


def _instant(instant: datetime | None) -> str | None:
    return None if instant is None else format_instant(instant)


def file_members(file: RegistrationFile) -> dict[str, Any]:
    """Name a file and say where it is."""
    return {"id": file.id, "state": str(file.state), "kind": str(file.registration.kind)}


def listed_file_members(file: RegistrationFile) -> dict[str, Any]:
    """Write a file in a list: nothing of whom it is about."""
    return file_members(file) | {
        "province": file.registration.province,
        "realm": file.realm,
        "submitted_by": file.submitted_by,
        "submitted_at": format_instant(file.submitted_at),
        "expires_at": _instant(file.expires_at),
    }


def word_members(word: RegistryWord) -> dict[str, Any]:
    """Write what a registry said."""
    members = {"source": str(word.source), "answer": str(word.answer), "at": format_instant(word.at)}
    match word:
        case Silent(why=silence):
            return members | {"why": str(silence)}
        case No(why=denial, differs=differs):
            members |= {"why": str(denial)}
            return members | {"differs": [str(claim) for claim in differs], "reference": word.reference}
    return members | {"reference": word.reference, "valid_until": _instant(word.valid_until)}


def _approval_members(approval: Approval) -> dict[str, Any]:
    members = {"officer": approval.officer, "at": format_instant(approval.at)}
    return members | ({} if approval.silence_reason is None else {"silence_reason": approval.silence_reason})


def attachment_members(attachment: Attachment) -> dict[str, Any]:
    """Write what is known of a scan."""
    return {
        "sha256": attachment.sha256,
        "media_type": attachment.media_type,
        "octets": attachment.octets,
        "attached_by": attachment.attached_by,
        "attached_at": format_instant(attachment.attached_at),
        "deleted_at": _instant(attachment.deleted_at),
    }


def whole_file_members(
    file: RegistrationFile, words: tuple[RegistryWord, ...], brought: tuple[Attachment, ...]
) -> dict[str, Any]:
    """Write what an officer needs to decide, or to see why it was so decided."""
    registration = file.registration
    scans = {one.sha256: one for one in brought}
    return {
        **file_members(file),
        "name": registration.display_name,
        "province": registration.province,
        "realm": file.realm,
        "evidence": [
            {"what": item.what, "sha256": item.sha256}
            | (attachment_members(scans[item.sha256]) if item.sha256 in scans else {})
            for item in registration.evidence
        ],
        "sha256": file.digest,
        "submitted_by": file.submitted_by,
        "submitted_at": format_instant(file.submitted_at),
        "previous": file.previous,
        "checked_at": _instant(file.checked_at),
        "registries": [word_members(word) for word in words],
        "approvals": [_approval_members(approval) for approval in file.approvals],
        "refused_by": file.refused_by,
        "refused_at": _instant(file.refused_at),
        "reason": file.reason,
        "expires_at": _instant(file.expires_at),
        "ended_at": _instant(file.ended_at),
    }


def _bulk_approval_members(approval: BulkApproval) -> dict[str, Any]:
    members = {"officer": approval.by.id, "at": format_instant(approval.at), "done": approval.line}
    return members | ({} if approval.silence_reason is None else {"silence_reason": approval.silence_reason})


def progress_members(progress: Progress) -> dict[str, Any]:
    """Write how far a bulk job is."""
    job = progress.job
    return {
        "id": job.id,
        "state": "finished" if progress.is_over else "running",
        "sha256": job.sha256,
        "rows": job.rows,
        "done": job.line,
        "refused": progress.refused,
        "approved": progress.approved,
        "issued": progress.issued,
        "officer": job.by.id,
        "started_at": format_instant(job.started_at),
        "finished_at": _instant(job.finished_at),
        "approvals": [_bulk_approval_members(approval) for approval in progress.approvals],
    }


ROW_COLUMNS: Final = ("line", "file", "state", "profile", "serial", "code", "reason")


def row_members(row: RowResult) -> dict[str, Any]:
    """Write what became of a row."""
    return {
        "line": row.line,
        "file": row.file_id,
        "state": None if row.state is None else str(row.state),
        "profile": row.profile,
        "serial": row.serial,
        "code": row.code,
        "reason": row.reason,
    }


def alarm_members(alarm: Alarm) -> dict[str, Any]:
    """Write an alarm and who said that it may be closed."""
    return {
        "alarm": alarm.id,
        "serial": alarm.serial_hex,
        "linter": f"{alarm.linter} {alarm.linter_version}",
        "severity": alarm.severity.name,
        "rules": list(alarm.codes),
        "holds": alarm.holds,
        "raised_at": format_instant(alarm.raised_at),
        "closed_at": _instant(alarm.closed_at),
        "officers": [note.officer for note in alarm.notes],
    }
