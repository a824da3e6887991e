"""The log of the gate's decisions: none is taken out when its week is decided again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

import polars as pl

from vostok_core.lake.objects import UNWRITTEN
from vostok_core.lake.parquet import PartitionInfo
from vostok_core.lake.store import Lake

_SAID = ("decision", "bundle", "enters_service")


@dataclass(frozen=True)
class Decided:
    """What the gate decided once.

    Attributes:
        week: Monday of the model that was judged.
        decision: `promoted` or `refused`.
        bundle: Manifest hash of the model; empty where it could not be trusted.
        enters_service: Whether it was to be put into service.
    """

    week: date
    decision: str
    bundle: str
    enters_service: bool


def log_decision(
    lake: Lake,
    strategy: str,
    instrument: str,
    week: date,
    rows: pl.DataFrame,
    *,
    code_version: str,
    inputs: Mapping[str, str],
) -> None:
    """Log a decision, unless it is the one that was logged last.

    What `promotions` says of the week is logged before it where nothing is: it was decided before
    there was a log.

    Args:
        lake: The lake.
        strategy: Name of the strategy.
        instrument: Id of the instrument.
        week: Monday of the model that was judged.
        rows: The decision, by the table `promotions`.
        code_version: Hash of the configuration.
        inputs: Hashes of what was judged.
    """
    place = {"strategy": strategy, "instrument": instrument, "week": str(week)}
    with lake.sole_writer("gate_decisions"):
        number = 0
        last: PartitionInfo | None = None
        if logged := _numbers(lake, place):
            number = int(logged[-1])
            last = lake.info("gate_decisions", **place, number=logged[-1])
        elif lake.exists("promotions", **place):
            info, before = lake.load("promotions", **place)
            number = 1
            last = _write(lake, place, number, before, info.code_version, info.inputs)
        if last is None or not is_decision(last, rows, code_version, inputs):
            _write(lake, place, number + 1, rows, code_version, inputs)


def is_decision(
    info: PartitionInfo, rows: pl.DataFrame, code_version: str, inputs: Mapping[str, str]
) -> bool:
    """Whether a partition holds this very decision, made on the same evidence."""
    from vostok_core.hashing import hash_frame

    return (info.content_hash, info.code_version, dict(info.inputs)) == (
        hash_frame(rows),
        code_version,
        dict(inputs),
    )


def decisions(lake: Lake, strategy: str, instrument: str) -> Iterator[Decided]:
    """Every decision on the models of a strategy and instrument, by week, the oldest first.

    Raises:
        CorruptPartition: One doesn't read.
    """
    place = {"strategy": strategy, "instrument": instrument}
    weeks = {*lake.keys("gate_decisions", **place), *lake.keys("promotions", **place)}
    for week in sorted(weeks):
        numbers = _numbers(lake, {**place, "week": week})
        if numbers:
            for number in numbers:
                yield _decided(lake, "gate_decisions", {**place, "week": week, "number": number})
        elif lake.exists("promotions", **place, week=week):
            yield _decided(lake, "promotions", {**place, "week": week})


def _numbers(lake: Lake, place: Mapping[str, str]) -> list[str]:
    return [
        number
        for number in lake.keys("gate_decisions", **place)
        if lake.exists("gate_decisions", **place, number=number)
    ]


def _write(
    lake: Lake,
    place: Mapping[str, str],
    number: int,
    rows: pl.DataFrame,
    code_version: str,
    inputs: Mapping[str, str],
) -> PartitionInfo:
    return lake.write(
        "gate_decisions",
        rows,
        code_version=code_version,
        inputs=inputs,
        over=UNWRITTEN,
        **place,
        number=f"{number:04d}",
    )


def _decided(lake: Lake, name: str, place: Mapping[str, str]) -> Decided:
    row = lake.read(name, columns=_SAID, **place).row(0, named=True)
    week = date.fromisoformat(place["week"])
    return Decided(week, row["decision"], row["bundle"], row["enters_service"])
