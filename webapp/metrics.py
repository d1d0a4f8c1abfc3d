"""Measured values in the text format that Prometheus reads (version 0.0.4)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum, unique
from types import MappingProxyType
from typing import Final

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
NO_LABELS: Final[Mapping[str, str]] = MappingProxyType({})
_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


@unique
class MetricKind(StrEnum):
    """What a value may do: a counter only grows."""

    COUNTER = "counter"
    GAUGE = "gauge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One name and its values by labels."""

    name: str
    kind: MetricKind
    help: str
    values: tuple[tuple[Mapping[str, str], float], ...]


def gauge(name: str, text: str, values: Iterable[tuple[Mapping[str, str], float]]) -> Metric:
    """Make a metric that goes up and down."""
    return Metric(name=name, kind=MetricKind.GAUGE, help=text, values=tuple(values))


def counter(name: str, text: str, values: Iterable[tuple[Mapping[str, str], float]]) -> Metric:
    """Make a metric that only grows; its name ends in `_total`."""
    return Metric(name=name, kind=MetricKind.COUNTER, help=text, values=tuple(values))


def exposition(metrics: Iterable[Metric]) -> bytes:
    """Write metrics; those without a value are left out."""
    lines: list[str] = []
    for metric in metrics:
        if metric.values:
            lines += [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}"]
            lines += [f"{metric.name}{_labels(labels)} {_number(value)}" for labels, value in metric.values]
    return ("\n".join(lines) + "\n").encode()


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items()) + "}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(round(value, 3))
