"""Prometheus's text format, version 0.0.4, written by hand: a family is a name, a kind, samples.

Source: prometheus.io, "Exposition formats" and "Metric and label naming".
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from vostok_live.service.measures import Timing

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Kind = Literal["counter", "gauge", "histogram"]
Labels = tuple[str, ...]
"""Values of a family's labels, in the order of their names."""
Sample = tuple[Labels, float]

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(frozen=True, slots=True)
class Family:
    """A metric, without its samples.

    Attributes:
        name: With its unit, and `_total` where it is a counter.
        kind: What a reader may do with it.
        help: What it says.
        labels: Names of its labels.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert all(_NAME.fullmatch(each) for each in (self.name, *self.labels)), self.name
        assert (self.kind == "counter") == self.name.endswith("_total"), self.name
        assert "le" not in self.labels, "the bucket's bound"


def write(
    families: Iterable[tuple[Family, Iterable[Sample] | Timing]], constant: Mapping[str, str]
) -> str:
    """Families with their samples, as text.

    Args:
        families: A histogram comes with its timing, the others with samples.
        constant: Labels of every sample.
    """
    fixed = [f'{name}="{_escaped(value)}"' for name, value in constant.items()]
    lines: list[str] = []
    for family, content in families:
        samples = (
            _buckets(family, content, fixed)
            if isinstance(content, Timing)
            else _plain(family, content, fixed)
        )
        lines += [
            f"# HELP {family.name} {_help(family.help)}",
            f"# TYPE {family.name} {family.kind}",
        ]
        lines += samples
    return "\n".join(lines) + "\n"


def _plain(family: Family, samples: Iterable[Sample], fixed: list[str]) -> Iterator[str]:
    for values, number in samples:
        own = [
            f'{name}="{_escaped(value)}"' for name, value in zip(family.labels, values, strict=True)
        ]
        yield _line(family.name, [*fixed, *own], number)


def _buckets(family: Family, timing: Timing, fixed: list[str]) -> Iterator[str]:
    counts = timing.cumulated()
    for bound, count in zip([*timing.bounds, math.inf], counts, strict=True):
        yield _line(f"{family.name}_bucket", [*fixed, f'le="{_number(bound)}"'], count)
    yield _line(f"{family.name}_sum", fixed, timing.total)
    yield _line(f"{family.name}_count", fixed, counts[-1])


def _line(name: str, labels: list[str], number: float) -> str:
    return (
        f"{name}{{{','.join(labels)}}} {_number(number)}" if labels else f"{name} {_number(number)}"
    )


def _number(value: float) -> str:
    """As Go reads it, with every digit of a double."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if isinstance(value, int) else repr(float(value))


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _help(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")
