"""Reconciliation: what may honestly differ between a live day, the archive and the simulation.

Parity says that the daemon computed what its inputs imply. Here it is asked how far those inputs,
and what came of its orders, are from what research works with: the archive's trades, and fills of
the simulator on them. Findings are classified and reported; none is forgiven by a tolerance.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import takewhile
from typing import Any

import numpy as np
import polars as pl

from vostok_core.backtest.simulator import simulate
from vostok_core.backtest.venue import Costs
from vostok_core.errors import DataError
from vostok_core.features.reading import chosen_columns, read_features
from vostok_core.features.registry import pack
from vostok_core.labels.events import event_flags
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import TIME
from vostok_core.live.against_archive import (
    UNEXPLAINED,
    Trades,
    compare_bars,
    compare_decisions,
    compare_features,
    compare_trades,
)
from vostok_core.live.against_simulation import Passed, compare_fills, live_trades
from vostok_core.live.findings import Deviation, findings_table, summary
from vostok_core.live.shipped import Shipped, ShippedRun
from vostok_core.market.instrument import Instrument
from vostok_core.market.paths import tick_path
from vostok_core.models.bundle_folder import load_kept
from vostok_core.models.registry import kept_path
from vostok_core.strategy import Strategy
from vostok_core.times import DAY, day_of, day_start
from vostok_core.times import days as each_day

CODE_VERSION = "3"
"""Changes whenever the same journal and lake give other findings."""

_DAY = timedelta(days=1)
_BEFORE = "what was walked over before"


@dataclass(frozen=True)
class Reconciliation:
    """What was found of a day.

    Attributes:
        day: The day.
        findings: Rows of the table `reconciliation`.
        trades: Positions that were decided on the day: live, simulated, both.
    """

    day: date
    findings: pl.DataFrame
    trades: dict[str, int]

    @property
    def summary(self) -> pl.DataFrame:
        """Findings by kind and cause: counts, mean and worst."""
        return summary(self.findings)


def reconcile(lake: Lake, strategy: Strategy, instrument: Instrument, day: date) -> Reconciliation:
    """Hold a live day against the archive's record of it, and its fills against simulated ones.

    Args:
        lake: Holds the shipped journal, and the day's ticks, bars and features.
        strategy: The strategy, with the costs that it assumes.
        instrument: What was traded.
        day: A day that has been shipped.

    Raises:
        MissingPartition: The day has not been shipped, or the archive's has not been made.
        StalePartition: Features are not what their pack would compute now.
        DataError: Nothing was traded on the day.
        BundleError: A bundle that spoke is not there any more.

    Time and memory are those of the day's trades and of the positions that it began with.
    """
    shipped = Shipped(lake, strategy.name, str(instrument.id))
    steps = shipped.read("live_steps", day)
    runs = {run.run: run for run in shipped.runs()}
    if steps.is_empty():
        raise DataError(
            f"no bar of {day} was closed live",
            where=f"{strategy.name} on {instrument.id}",
            hint="ask for days on which its daemon traded",
        )
    last_word = steps.unique("ts", keep="last", maintain_order=True)
    found = _against_archive(shipped, strategy, instrument, day, last_word, runs)
    fills, counts = _against_simulation(shipped, strategy, instrument, day, runs)
    return Reconciliation(day, findings_table([*found, *fills]), counts)


def archived(lake: Lake, strategy: Strategy, instrument: str, day: date) -> dict[str, str]:
    """Content hashes of those of the archive's partitions of a day, and of what is made of them,
    that are there."""
    return {
        f"{'/'.join([name, *extra.values()])}/{day}": lake.info(
            name, **extra, instrument=instrument, date=day
        ).content_hash
        for name, extra in _archive(strategy)
        if lake.exists(name, **extra, instrument=instrument, date=day)
    }


def is_archived(lake: Lake, strategy: Strategy, instrument: str, day: date) -> bool:
    """Whether all is there that a live day is held against."""
    return len(archived(lake, strategy, instrument, day)) == len(_archive(strategy))


def beside(lake: Lake, strategy: Strategy, instrument: str, day: date) -> dict[str, str]:
    """Content hashes of what is there of the days around one, to which positions of the day may
    reach: the archive's trades, and what the engine heard and answered."""
    journal = {"strategy": strategy.name, "instrument": instrument}
    tables = [("ticks", {"instrument": instrument})]
    tables += [(name, journal) for name in ("live_events", "live_commands")]
    return {
        f"{name}/{each}": lake.info(name, **keys, date=each).content_hash
        for each in _around(strategy, day)
        for name, keys in tables
        if each != day and lake.exists(name, **keys, date=each)
    }


def _around(strategy: Strategy, day: date) -> list[date]:
    """A day, and those around it in which a position may have been decided on or come to its end:
    one that is decided on at midnight, too, whose exit takes a while."""
    reach = strategy.horizon_us // DAY + 1
    return list(each_day(day - reach * _DAY, day + reach * _DAY))


def _archive(strategy: Strategy) -> list[tuple[str, dict[str, str]]]:
    """Tables of the archive's record, with their keys beside instrument and date."""
    interval = {"interval": strategy.file.interval}
    packs = [("features", {"pack": each, **interval}) for each in strategy.file.features.packs]
    return [("ticks", {}), ("bars", interval), *packs]


def _against_archive(
    shipped: Shipped,
    strategy: Strategy,
    instrument: Instrument,
    day: date,
    steps: pl.DataFrame,
    runs: dict[int, ShippedRun],
) -> list[Deviation]:
    lake, name, interval = shipped.lake, str(instrument.id), strategy.file.interval
    keys: dict[str, Any] = {"instrument": name, "date": day}
    trades = _trades(shipped, strategy, day, lake.read("ticks", **keys), runs)
    bars = compare_bars(steps, lake.read("bars", interval=interval, **keys), trades.causes)
    choice = strategy.file.features
    features = read_features(lake, choice.packs, choice.exclude, name, interval, [day])
    differ: list[Deviation] = []
    for each, columns in chosen_columns(choice.packs, choice.exclude).items():
        common = [column for column in columns if column in steps.columns]
        cause = "news" if pack(each).inputs == "sentiment" else "bars" if bars else _BEFORE
        differ += compare_features(steps, features, common, cause)
    decided = _decided_by_archive(shipped, strategy, instrument, day, steps, features)
    cause = "features" if differ else "bars" if bars else UNEXPLAINED
    decisions = compare_decisions(steps.filter("event"), decided, cause)
    return [*trades.found, *bars, *differ, *decisions]


def _trades(
    shipped: Shipped,
    strategy: Strategy,
    day: date,
    archive: pl.DataFrame,
    runs: dict[int, ShippedRun],
) -> Trades:
    live = shipped.read("live_ticks", day)
    later = shipped.read_days("live_ticks", [day + _DAY])
    ids = (archive if later.height else live)["trade_id"].to_list()
    # Trades before the first run's own are the lake's.
    first = min((run.beginning.next_id for run in runs.values()), default=0)
    cuts = [*shipped.cuts(day), *shipped.cuts(day + _DAY)]
    seen = first, max(ids, default=-1)
    return compare_trades(live, archive, cuts, strategy.interval_us, seen)


def _decided_by_archive(
    shipped: Shipped,
    strategy: Strategy,
    instrument: Instrument,
    day: date,
    steps: pl.DataFrame,
    features: pl.DataFrame,
) -> pl.DataFrame:
    """What the models in service say of the archive's bars: `ts`, `probability`, `threshold`,
    `valid`, of the bars on which an event is due."""
    flags = event_flags(shipped.lake, strategy, str(instrument.id), [day])
    spoken = steps.select("ts", "bundle")
    due = (
        flags.filter("event")
        .select("ts")
        .join(spoken, on="ts", how="inner", maintain_order="left")
        .join(features, on="ts", how="inner", maintain_order="left")
    )
    parts = []
    for (sha256,), rows in due.group_by("bundle", maintain_order=True):
        folder = kept_path(shipped.lake, str(sha256))
        bundle, _ = load_kept(folder, sha256=str(sha256))
        matrix = bundle.select(rows)
        _, probabilities = bundle.predict(matrix)
        known = np.isfinite(matrix).all(axis=1)
        parts.append(
            rows.select(
                "ts",
                probability=pl.Series(probabilities, dtype=pl.Float64),
                threshold=pl.lit(bundle.manifest.threshold),
                valid=pl.col("valid") & pl.Series(known, dtype=pl.Boolean),
            )
        )
    schema: dict[str, Any] = {
        "ts": TIME, "probability": pl.Float64, "threshold": pl.Float64, "valid": pl.Boolean,
    }  # fmt: skip
    return pl.concat([pl.DataFrame(schema=schema), *parts]).sort("ts")


def _against_simulation(
    shipped: Shipped,
    strategy: Strategy,
    instrument: Instrument,
    day: date,
    runs: dict[int, ShippedRun],
) -> tuple[list[Deviation], dict[str, int]]:
    run = runs[max(shipped.read("live_steps", day)["run"].to_list())]
    start, end = day_start(day), day_start(day) + DAY
    around = _around(strategy, day)
    events = shipped.read_days("live_events", around)
    commands = shipped.read_days("live_commands", around)
    live = live_trades(commands, run.rules)
    held = _spans(live)
    # A position that was held at midnight was decided on the day before, or farther back.
    over_midnight = [span for span in held if span[0] <= start < span[1]]
    begin = min([start, *(since for since, _ in over_midnight)])
    recorded = _recorded_days(shipped.lake, instrument, day_of(begin), around[-1])
    if day not in recorded:  # the day before is not there: from the end of that position on
        begin = max([start, *(until for _, until in over_midnight)])
        recorded = _recorded_days(shipped.lake, instrument, day, around[-1])
    paths = (
        tick_path(shipped.lake.read("ticks", instrument=str(instrument.id), date=each))
        for each in recorded
    )
    until = day_start(recorded[-1]) + DAY
    told = _told(events, run).filter(pl.col("ts").to_physical().is_between(begin, until))
    if told.is_empty():
        return [], {"live": 0, "simulated": 0, "both": 0}
    decisions = told.filter(pl.col("probability").is_not_null())
    account = run.engine["account"]
    equity = account["cash"] + (account["position"] + account["dust"]) * account["mark"]
    result = simulate(
        run.config,
        instrument,
        decisions,
        told.select("ts", "close", "valid"),
        paths,
        replace(Costs.of(strategy), latency_us=run.config.latency_us),
        run.rules.money(equity),
        interval_us=strategy.interval_us,
    )
    ours, simulated = (_decided_within(each, start, end) for each in (live, result.trades))
    closed = _spans(result.trades)
    open_since = (
        max((ended for _, ended in closed), default=begin) if result.counts["open"] else None
    )
    found = compare_fills(
        ours,
        simulated,
        Passed(held, _reasons(events, commands, live)),
        Passed(closed, {}, open_since),
    )
    both = ours.join(simulated, on="decision_ts", how="inner").height
    return found, {"live": ours.height, "simulated": simulated.height, "both": both}


def _recorded_days(lake: Lake, instrument: Instrument, first: date, last: date) -> list[date]:
    """The days from `first` on of which the archive has trades, up to the first that it lacks."""
    keys = {"instrument": str(instrument.id)}
    every = each_day(first, last)
    return list(takewhile(lambda each: lake.exists("ticks", **keys, date=each), every))


def _decided_within(trades: pl.DataFrame, start: int, end: int) -> pl.DataFrame:
    ts = pl.col("decision_ts").to_physical()
    return trades.filter(ts > start, ts <= end)


def _spans(trades: pl.DataFrame) -> list[tuple[int, int]]:
    """From the decision on a position to its end; microseconds."""
    times = trades.select(pl.col("decision_ts", "exit_ts").to_physical())
    return [(since, until) for since, until in times.iter_rows()]


def _told(events: pl.DataFrame, run: ShippedRun) -> pl.DataFrame:
    """Bars as the engine heard of them, each once, with the decisions that it was told."""
    rows: dict[int, tuple[Any, ...]] = {}
    for body in events.filter(kind="BarClosed").sort("seq")["body"]:
        event = json.loads(body)
        said = event["decision"] or {}
        names = ("probability", "threshold", "sigma", "reference")
        rows[event["ts"]] = (
            event["ts"], run.rules.price(event["close"]), event["valid"],
            *(said.get(name) for name in names),
        )  # fmt: skip
    schema = {
        "ts": pl.Int64, "close": pl.Float64, "valid": pl.Boolean, "probability": pl.Float64,
        "threshold": pl.Float64, "sigma": pl.Float64, "reference": pl.Float64,
    }  # fmt: skip
    frame = pl.DataFrame([rows[ts] for ts in sorted(rows)], schema=schema, orient="row")
    return frame.with_columns(pl.col("ts").cast(TIME))


def _reasons(events: pl.DataFrame, commands: pl.DataFrame, live: pl.DataFrame) -> dict[int, str]:
    """Why the engine opened nothing on decisions, as far as what it heard and answered says."""
    answers = commands.group_by("seq").agg(pl.col("kind"), pl.col("body"))
    rows = events.join(answers, on="seq", how="left", suffix="_said").sort("seq")
    traded = set(live["decision_ts"].to_physical().to_list())
    reasons: dict[int, str] = {}
    killed = paused = False
    for kind, body, said in rows.select("kind", "body", "body_said").iter_rows():
        event = json.loads(body)
        answer = [json.loads(each) for each in said or ()]
        if kind == "Control":
            # Either holds until it is taken back: one resumes what was paused, and resets a kill.
            killed = {"kill": True, "reset": False}.get(event["action"], killed)
            paused = {"pause": True, "flatten": True, "resume": False}.get(event["action"], paused)
        killed |= any(each.get("code") == "killed" for each in answer)
        if kind != "BarClosed" or event["decision"] is None or event["ts"] in traded:
            continue
        entered = any(each["command"] in ("Place", "PlaceList") for each in answer)
        if entered:
            reasons[event["ts"]] = "unfilled or open"
        elif killed or paused:  # which the engine asks in this order
            reasons[event["ts"]] = "killed" if killed else "paused"
    return reasons
