"""One day of market data, from the lake: what an asset calls before it writes.

Each function reads the partitions it needs, neighbours in time included, computes, and returns the
rows to write together with the content hashes of what it read. Nothing is written here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Any, Literal

import polars as pl

from vostok_core.errors import DataError, MissingPartition, UnfitDay, UsageError
from vostok_core.hashing import hash_value
from vostok_core.lake.parquet import PartitionInfo
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import table
from vostok_core.market.bars import bars_from_klines, day_bars
from vostok_core.market.drift import WRITTEN, drift, written
from vostok_core.market.findings import Finding, findings_frame
from vostok_core.market.instrument import Instrument
from vostok_core.market.kept_once import LANDED, rows_of
from vostok_core.market.klines import merge_klines
from vostok_core.market.mending import Mend, settled, with_repaired
from vostok_core.market.quality import inspect, inspect_klines, poison
from vostok_core.market.ticks import LastTick, last_tick, merge
from vostok_core.times import DAY, day_start

CODE_VERSION = "6"
"""Changes whenever a value that the functions of this module return changes."""

ORDER = "order"
"""Key in a landed part's footer: its place among the files landed for the day, from 0."""

ARCHIVE = "archive"
"""Key in a landed part's footer, if the file came from the archive: the file's name there."""

REPLACES = "replaces"
"""Key in a landed part's footer, if the part takes all that landed before it out of use."""

ALSO = "also"
"""Key in a landed part's footer: names, by spaces, of the parts that other files with the same rows
of the day would have become, such as the archive's file of the day and that of its month."""

FETCHED, RECORDED, REPAIR = "fetched", "recorded", "repair"
"""Keys in a landed part's footer, if its rows were asked for over the wire, were recorded from a
stream, or mend what another part lacks; with whom they came from."""

PROVISIONAL = frozenset({FETCHED, RECORDED, REPAIR})
"""Of parts with one of these keys: they count until the archive has a file of the day."""

GIVE_WAY = PROVISIONAL | {ARCHIVE}
"""Parts with one of these keys give way to the archive's file of the day, when it lands."""

ABSENT = "absent"
"""The part of a landed day that holds no file, but somebody's word that there is none."""

RECORDING_VERSION = "1"
"""Version of recorded parts, which are not read again: it changes whenever the same segment makes
another one."""

KLINE_INTERVAL = "1m"
"""The interval that klines are merged, inspected and made into bars at."""

LANDING_VERSION = "2"
"""Changes whenever a reader of source files reads the same file otherwise."""

RULES = "rules"
"""Key in a partition's inputs: `rules_of` its instrument."""

NOTHING = "nothing"
"""Stands in a partition's inputs for a day before that is not there."""

Inputs = dict[str, str]
_Landed = tuple[PartitionInfo, pl.DataFrame]


def in_landing_order(parts: Iterable[PartitionInfo]) -> list[PartitionInfo]:
    """The landed parts of a day, the first landed first."""
    return sorted(parts, key=lambda part: (int(part.inputs.get(ORDER, "0")), part.path.name))


def parts_in_use(parts: Iterable[PartitionInfo]) -> list[PartitionInfo]:
    """Those of the landed parts of a day that its ticks or klines are merged from.

    Nothing that landed is deleted, but a later file can take its place. The archive has one file of
    a day, so a part that came from it takes the earlier ones that did out of use, and with them
    what stood in for it until then: what was asked for over the wire, recorded, or mended. What was
    recorded doesn't count beside it either if it lands later. A part that was landed to replace
    what there was takes all earlier ones out of use.

    Returns:
        They, in the order of landing.
    """
    used: list[PartitionInfo] = []
    for part in in_landing_order(parts):
        if REPLACES in part.inputs:
            used.clear()
        elif ARCHIVE in part.inputs:
            used = [before for before in used if not before.inputs.keys() & GIVE_WAY]
        elif RECORDED in part.inputs and any(ARCHIVE in before.inputs for before in used):
            continue
        used.append(part)
    return used


def read_otherwise(used: Iterable[PartitionInfo]) -> list[PartitionInfo]:
    """Those of some landed parts that another version of the readers made than there is now."""
    return [
        part
        for part in used
        if part.code_version != LANDING_VERSION
        and part.path.stem != f"part-{ABSENT}"
        and not part.inputs.keys() & PROVISIONAL
    ]


def landed_inputs(name: str, day: date, used: Iterable[PartitionInfo]) -> Inputs:
    """What the footer of a merged day says of the landed parts in use: their content hashes."""
    return {f"{name}/{day}/{part.path.stem}": part.content_hash for part in used}


def rules_of(instrument: Instrument) -> str:
    """Hash of what market data depend on of their instrument: first 16 hex digits."""
    steps = [str(step.normalize()) for step in (instrument.price_tick, instrument.quantity_step)]
    return hash_value([instrument.tick, *steps, instrument.max_silence])[:16]


def ticks_day(
    lake: Lake, instrument: Instrument, day: date
) -> tuple[pl.DataFrame, pl.DataFrame, Inputs]:
    """Merge and inspect a day of landed trades.

    Returns:
        Rows of `ticks`, rows of `quality`, and the content hash of each partition read.

    Raises:
        UsageError: The instrument has no ticks.
        MissingPartition: No file with trades of the day was landed, or the day before has landed
            and its ticks have not been written.
        DataError: The landed files can't be merged.
    """
    if instrument.tick == "none":
        raise UsageError(
            f"{instrument.id} has no ticks: its bars are built from klines",
            hint='say tick = "trade" or "agg_trade" in vostok.toml if there are any',
        )
    landed = _landed(lake, "raw_trades", instrument=str(instrument.id), date=day)
    inputs = landed_inputs("raw_trades", day, [info for info, _ in landed])
    ticks, findings = _merged(landed, instrument, day)
    previous, read = previous_tick(lake, instrument, day)
    quality = inspect(ticks, day, instrument, previous=previous, findings=findings)
    mends = _mends(landed)
    bare_previous, before, read_before = _without_mends(lake, instrument, day, previous)
    if mends or before:
        bare, findings = _merged([part for part in landed if not _mends([part])], instrument, day)
        unmended = inspect(bare, day, instrument, previous=bare_previous, findings=findings)
        quality = with_repaired(quality, unmended, [*before, *mends])
    quality, ways = _with_drift(lake, "raw_trades", quality, day, instrument=str(instrument.id))
    made_from = {**inputs, **read, **read_before, **ways}
    return ticks, quality, {RULES: rules_of(instrument), **made_from}


def klines_day(
    lake: Lake, instrument: Instrument, day: date
) -> tuple[pl.DataFrame, pl.DataFrame, Inputs]:
    """Merge and inspect a day of landed 1-minute klines.

    Returns:
        Rows of `klines`, rows of `quality` (to be written only for an instrument without ticks),
        and the content hash of each partition read.

    Raises:
        MissingPartition: No file with klines of the day was landed, or the day before has landed
            and its klines have not been written.
    """
    keys = {"instrument": str(instrument.id), "interval": KLINE_INTERVAL}
    landed = _landed(lake, "raw_klines", **keys, date=day)
    inputs = landed_inputs("raw_klines", day, [info for info, _ in landed])
    klines, findings = merge_klines([rows for _, rows in landed])
    findings = _with_absence(findings, day, landed)
    previous, read = _previous_kline(lake, instrument, day)
    quality = inspect_klines(
        klines,
        day,
        instrument,
        previous_ts=None if previous is None else previous[0],
        previous_close=None if previous is None else previous[1],
        findings=findings,
    )
    quality, ways = _with_drift(lake, "raw_klines", quality, day, **keys)
    return klines, quality, {RULES: rules_of(instrument), **inputs, **read, **ways}


def bars_day(
    lake: Lake, instrument: Instrument, intervals: Sequence[str], day: date
) -> tuple[dict[str, pl.DataFrame], Inputs]:
    """Build the bars of a day, from ticks or, where the instrument has none, from klines.

    Returns:
        Rows of `bars` by interval, and the content hash of each partition read.

    Raises:
        MissingPartition: The day's ticks (or klines) or quality have not been written, or the day
            before has landed and its ticks (or klines) have not been written.
        UnfitDay: Something is wrong with the day that no bar would be marked invalid for.
    """
    name = str(instrument.id)
    found, quality = lake.load("quality", instrument=name, date=day)
    require_fit(quality, name, day)
    inputs = {RULES: rules_of(instrument), f"quality/{day}": found.content_hash}
    if instrument.tick == "none":
        keys = {"instrument": name, "interval": KLINE_INTERVAL}
        found, klines = lake.load("klines", **keys, date=day)
        inputs[f"klines/{day}"] = found.content_hash
        kline, read = _previous_kline(lake, instrument, day)
        close = None if kline is None else kline[1]
        bars = {
            interval: bars_from_klines(klines, day, interval, instrument, close, quality)
            for interval in intervals
        }
    else:
        found, ticks = lake.load("ticks", instrument=name, date=day)
        inputs[f"ticks/{day}"] = found.content_hash
        # What they are held against is looked at again when it changes.
        keys = {"instrument": name, "interval": KLINE_INTERVAL, "date": str(day)}
        there = lake.exists("klines", **keys)
        inputs[f"klines/{day}"] = lake.info("klines", **keys).content_hash if there else NOTHING
        tick, read = previous_tick(lake, instrument, day)
        previous = None if tick is None else (tick.price, tick.side)
        bars = {
            interval: day_bars(ticks, day, interval, instrument, previous, quality)
            for interval in intervals
        }
    return bars, inputs | read


def require_fit(quality: pl.DataFrame, name: str, day: date) -> None:
    """Check that nothing is wrong with a day that would be trained on.

    Raises:
        UnfitDay: Something is.
    """
    bad = poison(quality).select("kind", "detail").rows()
    if bad:
        raise unfit(name, day, "; ".join(f"{kind}: {said}" for kind, said in bad))


def unfit(name: str, day: date, why: str) -> UnfitDay:
    """The error about a day whose bars must not be trained on."""
    return UnfitDay(
        f"no bars are built of {day}, since training would be poisoned by it: {why}",
        where=name,
        hint=f"ingest the right file with `vostok ingest PATH --instrument {name} --format FORMAT "
        "--replace`, or take the day out by "
        f"`vostok ingest --instrument {name} --absent {day} --replace`",
    )


def landed_as(lake: Lake, instrument: str, day: date) -> Literal["ticks", "klines"] | None:
    """The table that what has landed of a day is merged into; none if nothing has landed.

    Klines of an instrument of which trades have landed, on this day or another, are only held
    against its bars.
    """
    if lake.exists("raw_trades", instrument=instrument, date=day):
        return "ticks"
    keys = {"instrument": instrument, "interval": KLINE_INTERVAL}
    if lake.exists("raw_klines", **keys, date=day) and not lake.days(
        "raw_trades", instrument=instrument
    ):
        return "klines"
    return None


def previous_tick(lake: Lake, instrument: Instrument, day: date) -> tuple[LastTick | None, Inputs]:
    """The newest tick before a day, and what was read to find it.

    Days on which nothing traded are stepped over; a day that never landed ends the search, since
    nobody knows what happened on it.

    Raises:
        MissingPartition: A day that it comes to has landed and its ticks have not been written:
            what follows would depend on the order in which days were made.
    """
    columns = ("trade_id", "ts", "price", "buyer_maker", "last_id")
    rows, inputs = _previous(lake, "ticks", day, columns, instrument=str(instrument.id))
    return (None if rows is None else last_tick(rows)), inputs


def _previous_kline(
    lake: Lake, instrument: Instrument, day: date
) -> tuple[tuple[int, float] | None, Inputs]:
    """End and close of the newest kline before a day, and what was read to find them."""
    keys = {"instrument": str(instrument.id), "interval": KLINE_INTERVAL}
    rows, inputs = _previous(lake, "klines", day, ("ts", "close"), **keys)
    if rows is None:
        return None, inputs
    return (int(rows["ts"].to_physical()[-1]), float(rows["close"][-1])), inputs


def _previous(
    lake: Lake, name: str, day: date, columns: tuple[str, ...], **keys: str
) -> tuple[pl.DataFrame | None, Inputs]:
    """The newest day before `day` that holds rows, with no absent day in between."""
    inputs: Inputs = {}
    while True:
        day -= timedelta(days=1)
        if not lake.exists(name, **keys, date=day):
            _require_never_landed(lake, name, day, **keys)
            inputs[f"{name}/{day}"] = NOTHING
            return None, inputs
        found, rows = lake.load(name, columns=columns, **keys, date=day)
        inputs[f"{name}/{day}"] = found.content_hash
        if rows.height:
            return rows, inputs


def _require_never_landed(lake: Lake, name: str, day: date, **keys: str) -> None:
    """Raise if `day` could have been written: it has landed."""
    raw = LANDED[name]
    if not lake.exists(raw, **keys, date=day):
        return
    first = day
    while True:
        before = first - timedelta(days=1)
        if lake.exists(name, **keys, date=before) or not lake.exists(raw, **keys, date=before):
            break
        first = before
    raise MissingPartition(
        f"{keys['instrument']} has landed on {day} and its {name} have not been written, while "
        "the day after begins where that day ends",
        where=lake.root,
        hint=f"run `vostok materialize {name},quality --instrument {keys['instrument']} "
        f"--from {first} --to {day}` first",
    )


def _merged(
    landed: Sequence[_Landed], instrument: Instrument, day: date
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The ticks of landed parts, and what merging found."""
    parts = [rows for _, rows in landed] or [table("raw_trades").empty()]
    mending = [REPAIR in info.inputs for info, _ in landed] or [False]
    try:
        ticks, findings = merge(settled(parts, mending), instrument.tick)  # type: ignore[arg-type]
    except DataError as error:
        raise DataError(error.what, where=f"{instrument.id} {day}", hint=error.hint) from error
    return ticks, _with_absence(findings, day, landed)


def _mends(landed: Iterable[_Landed]) -> list[Mend]:
    """Those of some landed parts that mend others."""
    return [
        Mend(info.path.stem.removeprefix("part-"), info.inputs[REPAIR], rows)
        for info, rows in landed
        if REPAIR in info.inputs
    ]


def _without_mends(
    lake: Lake, instrument: Instrument, day: date, previous: LastTick | None
) -> tuple[LastTick | None, list[Mend], Inputs]:
    """The newest tick before a day if nothing had been repaired, what repaired it, and what was
    read: only where a repair part of the day before can have changed it.
    """
    day -= timedelta(days=1)
    name = str(instrument.id)
    if previous is None or not lake.exists("ticks", instrument=name, date=day):
        return previous, [], {}
    used = parts_in_use(lake.parts("raw_trades", instrument=name, date=day))
    if not any(REPAIR in part.inputs for part in used):
        return previous, [], {}
    landed = _landed(lake, "raw_trades", instrument=name, date=day)
    inputs = landed_inputs("raw_trades", day, [info for info, _ in landed])
    bare, _ = _merged([part for part in landed if not _mends([part])], instrument, day)
    mends = _mends(landed)
    last = last_tick(bare)
    if last is not None:
        return last, mends, inputs
    before, read = previous_tick(lake, instrument, day)
    last, further, read_further = _without_mends(lake, instrument, day, before)
    return last, [*further, *mends], {**inputs, **read, **read_further}


def _with_absence(findings: pl.DataFrame, day: date, landed: Sequence[_Landed]) -> pl.DataFrame:
    """The findings of a day, and that it has no file, if that is all that landed."""
    if [info.path.stem for info, _ in landed] != [f"part-{ABSENT}"]:
        return findings
    start = day_start(day)
    detail = "the exchange has no file of this day, says whoever declared it absent"
    absence = Finding("absent", "warn", start, start + DAY - 1, 0, detail)
    return pl.concat([findings, findings_frame([absence])])


def _with_drift(
    lake: Lake, name: str, quality: pl.DataFrame, day: date, **keys: str
) -> tuple[pl.DataFrame, Inputs]:
    """The findings of a day, and that its files are written otherwise than the day before's."""
    eve = day - timedelta(days=1)
    now, before = (written(parts_in_use(lake.parts(name, **keys, date=of))) for of in (day, eve))
    if found := drift(now, before, day):
        quality = pl.concat([quality, findings_frame(found)])
        quality = quality.sort("ts", "kind", "end_ts", "detail", maintain_order=True)
    return quality, {f"{WRITTEN}/{day}": now, f"{WRITTEN}/{eve}": before}


def _landed(lake: Lake, name: str, *, date: date, **keys: str) -> list[_Landed]:
    """The parts of a day that are in use, in the order of landing."""
    used = parts_in_use(lake.parts(name, **keys, date=date))
    if not used:
        lake.read_parts(name, **keys, date=date)  # says how to land it
    place: dict[str, Any] = {**keys, "date": date}
    return [(part, rows_of(lake, name, part, place)) for part in used]
