"""Reading features back: those that a strategy chose, if they are what would be computed now."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import polars as pl

from vostok_core.errors import CorruptPartition, UnknownName, UsageError
from vostok_core.features.currency import require_current
from vostok_core.features.registry import pack as pack_of
from vostok_core.lake.store import Lake


def read_features(
    lake: Lake,
    packs: Sequence[str],
    exclude: Sequence[str],
    instrument: str,
    interval: str,
    days: Sequence[date],
) -> pl.DataFrame:
    """The materialized features of some packs and days in one frame.

    Args:
        lake: The lake.
        packs: Names of packs, in the order their columns shall have.
        exclude: Features to leave out.
        instrument: Its name.
        interval: The interval of the bars.
        days: The days, in any order.

    Returns:
        `ts`, `valid`, then the columns of the packs less `exclude`, sorted by `ts`.

    Raises:
        UnknownName: A pack, or a feature to leave out, that nobody declared.
        UsageError: Two of the packs have a feature of the same name.
        MissingPartition: A pack has not been materialized for a day.
        StalePartition: As in `currency.require_current`.
        CorruptPartition: A partition lacks features of its pack, or two packs differ in their bars.
    """
    chosen = chosen_columns(packs, exclude)
    for name in chosen:
        require_current(lake, pack_of(name), instrument, interval, days)
    parts = []
    wanted = sorted(set(days))
    place = {"instrument": instrument, "interval": interval}
    loaded = {name: lake.load_days("features", wanted, pack=name, **place) for name in chosen}
    for day in wanted:
        part: pl.DataFrame | None = None
        for name, columns in chosen.items():
            _, frame = next(loaded[name])
            where = f"features of {instrument}, pack {name}, {interval}, {day}"
            hint = (
                f"run `vostok materialize features/{name} --instrument {instrument} "
                f"--from {day} --to {day}` again"
            )
            absent = [column for column in columns if column not in frame.columns]
            if absent:
                raise CorruptPartition(
                    f"the pack {name!r} has features that were not written: {', '.join(absent)}",
                    where=where,
                    hint=hint,
                )
            if part is None:
                part = frame.select("ts", "valid", *columns)
            elif not part.select("ts", "valid").equals(frame.select("ts", "valid")):
                raise CorruptPartition(
                    f"the packs {next(iter(chosen))!r} and {name!r} were computed from other bars",
                    where=where,
                    hint=hint,
                )
            else:
                part = part.hstack(frame.select(columns))
        if part is not None:
            parts.append(part)
    if not parts:
        names = [column for columns in chosen.values() for column in columns]
        schema: dict[str, pl.DataType] = {
            "ts": pl.Datetime("us", "UTC"),
            "valid": pl.Boolean(),
            **{name: pl.Float64() for name in names},
        }
        return pl.DataFrame(schema=schema)
    return pl.concat(parts)


def chosen_columns(packs: Sequence[str], exclude: Sequence[str]) -> dict[str, list[str]]:
    """For each pack, the columns that remain; their order is the order a model sees.

    Raises:
        UnknownName: A pack, or a feature to leave out, that nobody declared.
        UsageError: Two of the packs have a feature of the same name.
    """
    declared = {name: pack_of(name).columns for name in packs}
    every = [column for columns in declared.values() for column in columns]
    for column in exclude:
        if column not in every:
            raise UnknownName.of("feature", column, every, declared_in="docs/features.md")
    doubled = sorted({column for column in every if every.count(column) > 1})
    if doubled:
        raise UsageError(
            f"{', '.join(doubled)} stands in more than one of the packs {', '.join(declared)}",
            hint="name packs whose features differ",
        )
    left_out = set(exclude)
    return {
        name: [column for column in columns if column not in left_out]
        for name, columns in declared.items()
    }


def memory(packs: Sequence[str], exclude: Sequence[str]) -> int:
    """Bars that the slowest chosen feature of bars looks back on: the longest of their warm-ups."""
    chosen = chosen_columns(packs, exclude)
    return max(
        (
            kernel.warmup
            for name, columns in chosen.items()
            if pack_of(name).inputs == "bars"
            for kernel in pack_of(name).kernels
            if any(feature.name in columns for feature in kernel.outputs)
        ),
        default=0,
    )


def settled(ends: np.ndarray, broken: np.ndarray, reach_us: int) -> np.ndarray:
    """Which bars lie beyond the reach of every bar that is not valid.

    After a gap or silence, prices jump in what looks like one bar, behind bars in which nothing was
    seen: a feature that looks back on these says nothing of the market.

    Args:
        ends: Ends of bars, int64 microseconds, in time order.
        broken: Ends of the bars that are not valid, in time order, from `reach_us` before `ends`.
        reach_us: How far back a feature looks, microseconds. A window of n bars looks back n - 1,
            and at the bar that ends exactly so much later it still begins with the broken one.

    Returns:
        Boolean, shape of `ends`; false at the broken bars themselves.
    """
    newest = np.searchsorted(broken, ends, side="right") - 1
    after = newest >= 0
    far = np.ones(ends.size, dtype=np.bool_)
    far[after] = ends[after] - broken[newest[after]] > reach_us
    return far
