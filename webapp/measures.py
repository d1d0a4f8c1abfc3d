"""What `/metrics` says: ages and ends of what was promised, sweeps, counts. No person, and labels of few values.

Most of it is read from files, so that it is told while the database is down; what only rows know is left out then.
"""

import contextlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from importlib.metadata import version
from typing import Final

from sqlalchemy import func, select

from ca.inventory.statistics import ISSUED
from ca.profiles import IssuerName
from ca.tables import status_changes
from pki.certificates import Certificate
from pki.errors import ServiceError
from pki.instants import parse_instant
from pki.jose import json_object
from webapp.compose import Parts
from webapp.health import HealthReport, PartState
from webapp.metrics import NO_LABELS, Metric, counter, exposition, gauge
from webapp.promises import Promise, PromiseKind
from webapp.request_counts import RequestCounts

_changes: Final = status_changes.c
_PROMISED: Final = {
    PromiseKind.LISTS: ("mohr_crl", "full list", "list"),
    PromiseKind.DELTAS: ("mohr_delta_crl", "delta list", "list"),
    PromiseKind.ANSWERS: ("mohr_ocsp_answers", "oldest stored OCSP answer of an authority", "authority"),
    PromiseKind.RESPONDERS: ("mohr_ocsp_responder", "OCSP responder's certificate", "responder"),
}


def measured(parts: Parts, health: HealthReport, requests: RequestCounts) -> bytes:
    """Measure everything and write it down; what does not answer is left out."""
    now = parts.clock.now()
    return exposition(
        (
            gauge("mohr_build_info", "The program that answers.", [({"version": version("mohr")}, 1)]),
            _part_states(health),
            *_promises(parts.promises.all(), now),
            _waiting(parts),
            _own_certificates(parts, now),
            _authorities(parts, now),
            *_worker(parts, now),
            _checkpoint(parts, now),
            *_rows(parts, now),
            _requests(requests),
        )
    )


def _part_states(health: HealthReport) -> Metric:
    values = (
        ({"part": part.name, "state": state}, float(part.state is state))
        for part in health.parts
        for state in PartState
    )
    return gauge("mohr_part_state", "1 for the state that a part of /healthz is in.", values)


def _promises(promises: Sequence[Promise], now: datetime) -> Iterator[Metric]:
    for kind, (name, what, label) in _PROMISED.items():
        found = [one for one in promises if one.kind is kind]
        ages = [({label: one.name}, (now - one.since).total_seconds()) for one in found]
        left = [({label: one.name}, (one.until - now).total_seconds()) for one in found]
        yield gauge(f"{name}_age_seconds", f"Age of each {what}.", ages)
        yield gauge(f"{name}_seconds_left", f"Time to the end of each {what}; negative after it.", left)


def _own_certificates(parts: Parts, now: datetime) -> Metric:
    own = parts.promises.own_certificates() or ()
    left = (({"service": one.name}, (one.usable_until - now).total_seconds()) for one in own)
    return gauge("mohr_service_certificate_seconds_left", "Time to the end of each service's own certificate.", left)


def _authorities(parts: Parts, now: datetime) -> Metric:
    ends = []
    for label in IssuerName:
        with contextlib.suppress(OSError, ServiceError):
            certificate = Certificate.parse(parts.deployment.certificate_file(label).read_bytes())
            ends.append(({"authority": label.value}, (certificate.not_after - now).total_seconds()))
    return gauge("mohr_authority_certificate_seconds_left", "Time to the end of each authority's certificate.", ends)


def _worker(parts: Parts, now: datetime) -> tuple[Metric, ...]:
    try:
        state = json_object(parts.deployment.worker_state.read_bytes())
        beat, sweeps = parse_instant(str(state["at"])), dict(state["sweeps"])
        failures = [({"sweep": name}, float(one["failures"])) for name, one in sweeps.items()]
        ages = [
            ({"sweep": name}, _age(now, parse_instant(str(one["succeeded_at"]))))
            for name, one in sweeps.items()
            if one["succeeded_at"] is not None
        ]
    except (OSError, ServiceError, KeyError, TypeError, ValueError):
        return ()
    return (
        gauge("mohr_worker_heartbeat_age_seconds", "Age of the worker's heartbeat.", [(NO_LABELS, _age(now, beat))]),
        counter("mohr_sweep_failures_total", "Failures of each of the worker's sweeps since its start.", failures),
        gauge("mohr_sweep_success_age_seconds", "Time since each sweep last succeeded.", ages),
    )


def _age(now: datetime, then: datetime) -> float:
    return (now - then).total_seconds()


def _checkpoint(parts: Parts, now: datetime) -> Metric:
    try:
        written = parts.deployment.checkpoint.stat().st_mtime
    except OSError:
        written = None
    values = [] if written is None else [(NO_LABELS, now.timestamp() - written)]
    return gauge("mohr_checkpoint_age_seconds", "Time since the ledger's checkpoint last changed.", values)


def _rows(parts: Parts, now: datetime) -> Iterator[Metric]:
    try:
        with parts.database.read() as connection:
            position = connection.execute(select(func.max(_changes.id))).scalar_one_or_none() or 0
        statistics = parts.statistics.latest()
    except ServiceError:
        return
    yield counter("mohr_status_changes_total", "Changes of status ever recorded.", [(NO_LABELS, position)])
    yield from _following(parts, position, now)
    if statistics.at is None:
        return
    counts, age = statistics.counts, _age(now, statistics.at)
    yield gauge("mohr_certificates_counted_age_seconds", "Age of the counts of certificates.", [(NO_LABELS, age)])
    for name in ("state", "profile"):
        values = (({name: value}, float(count)) for value, count in counts.get(name, {}).items())
        yield gauge(f"mohr_certificates_by_{name}", f"Certificates by {name}.", values)
    issued = sum(counts.get(ISSUED, {}).values())
    yield counter("mohr_certificates_issued_total", "Certificates ever issued.", [(NO_LABELS, issued)])


def _following(parts: Parts, position: int, now: datetime) -> Iterator[Metric]:
    """Say how far the stored answers are behind the changes of status."""
    try:
        place = parts.answers.place()
        followed = 0 if place is None else place.position
        with parts.database.read() as connection:
            oldest = connection.execute(select(func.min(_changes.at)).where(_changes.id > followed)).scalar_one()
    except ServiceError:
        return
    behind, age = max(position - followed, 0), 0.0 if oldest is None else _age(now, oldest)
    yield gauge("mohr_status_feed_lag_changes", "Changes of status not yet followed.", [(NO_LABELS, behind)])
    yield gauge("mohr_status_feed_lag_seconds", "Age of the oldest change not yet followed.", [(NO_LABELS, age)])


def _waiting(parts: Parts) -> Metric:
    try:
        kept = parts.answers.kept()
    except ServiceError:
        kept = ()
    waiting = (({"authority": one.issuer}, float(one.waiting)) for one in kept)
    return gauge("mohr_ocsp_answers_waiting", "Stored answers that wait to be signed anew.", waiting)


def _requests(requests: RequestCounts) -> Metric:
    values = (
        ({"route": route, "status": str(status)}, float(count))
        for (route, status), count in sorted(requests.totals().items())
    )
    return counter("mohr_http_answers_total", "Answers by route and status, of all server processes.", values)
