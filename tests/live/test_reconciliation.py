"""What differs between a live day, the archive and the simulator is found and classified."""

from __future__ import annotations

import json
from pathlib import Path
from shutil import rmtree

import numpy as np
import polars as pl
import pytest

from tests.live.parity_world import BEGIN, HOUR, INSTRUMENT, NAME, NEXT, Traded, World, news
from vostok_core.errors import DataError, MissingPartition
from vostok_core.lake.schemas import validate
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import TIME, table
from vostok_core.live.against_archive import (
    UNEXPLAINED,
    compare_bars,
    compare_decisions,
    compare_trades,
)
from vostok_core.live.against_simulation import Passed, compare_fills, live_trades
from vostok_core.live.cuts import Cut
from vostok_core.live.findings import Deviation, findings_table, summary
from vostok_core.live.reconciliation import Reconciliation, archived, is_archived, reconcile
from vostok_core.times import DAY, MINUTE, SECOND, day_start
from vostok_core.trading.events import Control, event_to_json
from vostok_core.trading.rules import Rules
from vostok_live.news.rows import scores_frame
from vostok_pipelines.proofs import proof_contents

PLACE = {"strategy": "tiny", "instrument": NAME}
START = day_start(BEGIN)


@pytest.fixture(scope="module")
def archive(traded: Traded, tmp_path_factory: pytest.TempPathFactory) -> World:
    """The lake, once the archive's record of both days has come."""
    world = traded.world.copy(tmp_path_factory.mktemp("archive") / "lake")
    for day in (BEGIN, NEXT):
        items = news(np.random.default_rng(1), day_start(day), DAY, 9, f"archive {day}")
        world.lake.write("sentiment_scores", scores_frame(items), code_version="t", date=day)
        world.land(day)
    return world


@pytest.fixture(scope="module")
def found(archive: World) -> dict[str, Reconciliation]:
    return {
        "first": reconcile(archive.lake, archive.strategy, INSTRUMENT, BEGIN),
        "second": reconcile(archive.lake, archive.strategy, INSTRUMENT, NEXT),
    }


def of(reconciliation: Reconciliation, *kinds: str) -> pl.DataFrame:
    return reconciliation.findings.filter(pl.col("kind").is_in(kinds)).with_columns(
        pl.col("ts").to_physical()
    )


# A whole day


def test_trades_that_a_timer_left_behind_are_found_with_the_bars_they_change(
    found: dict[str, Reconciliation],
) -> None:
    late = of(found["first"], "late_trade")
    ends = [START + k * 97 * MINUTE for k in range(1, 15)]
    assert (late["ts"] // MINUTE * MINUTE + MINUTE).to_list() == ends
    assert late["difference"].unique().to_list() == [60.0]
    bars = of(found["first"], "bar")
    assert bars["ts"].to_list() == sorted([*ends, *(end + MINUTE for end in ends)])
    assert bars["cause"].unique().to_list() == ["late_trade"]
    assert bars["detail"][0].startswith("close, volume, quote_volume, trades")
    assert of(found["first"], "missed_trade", "extra_trade", "other_trade", "no_bar").is_empty()


def test_a_trade_that_the_stream_missed_is_found_with_its_bar(
    found: dict[str, Reconciliation],
) -> None:
    (missed,) = of(found["second"], "missed_trade").iter_rows(named=True)
    assert (missed["live"], missed["expected"], missed["count"]) == (0.0, 1.0, 1)
    end = missed["ts"] // MINUTE * MINUTE + MINUTE
    assert end == day_start(NEXT) + HOUR + 31 * MINUTE
    bar, validity = of(found["second"], "bar", "validity").filter(ts=end).iter_rows(named=True)
    assert (bar["cause"], validity["cause"]) == ("missed_trade", "missed_trade")
    assert (validity["live"], validity["expected"]) == (0.0, 1.0)
    flips = of(found["second"], "flip")
    assert flips["ts"].min() > end  # features look back on it: nothing is entered
    assert flips["cause"].unique().to_list() == ["features"]


def test_features_say_whether_bars_or_news_made_them_differ(
    found: dict[str, Reconciliation],
) -> None:
    features = of(found["first"], "feature")
    by = dict(features.group_by("cause").agg(pl.len()).iter_rows())
    assert by["news"] == 10
    assert by["bars"] > 40
    first_late = START + 97 * MINUTE
    bars = features.filter(cause="bars")
    assert bars["ts"].min() == first_late
    assert set(of(found["first"], "decision", "event", "flip")["cause"]) == {"features"}
    assert of(found["first"], "decision", "event", "flip")["ts"].min() >= START + MINUTE


def test_live_positions_are_matched_with_simulated_ones(
    found: dict[str, Reconciliation], archive: World
) -> None:
    first = found["first"]
    commands = archive.lake.read("live_commands", **PLACE, date=BEGIN)
    decided = live_trades(commands, Rules.of(INSTRUMENT))["decision_ts"].to_physical()
    assert first.trades["both"] >= decided.len() - 1 > 20
    for kind in ("entry_price", "entry_time", "exit_price", "exit_time", "fee", "net_return"):
        assert of(first, kind).height == first.trades["both"], kind
    prices = of(first, "entry_price", "exit_price")
    assert (prices["difference"] == 0.0).mean() > 0.9  # the venue is the simulated one
    assert of(first, "entry_time")["difference"].median() == 0.0
    passed = of(first, "only_simulated")
    assert passed["cause"].unique().to_list() == ["paused"]
    assert passed["ts"].is_between(START + 3 * HOUR, START + 4 * HOUR).all()
    assert first.trades["simulated"] == first.trades["both"] + passed.height


@pytest.mark.parametrize(
    ("first", "then", "cause"),
    [
        ("kill", "resume", "killed"),
        ("kill", "flatten", "killed"),
        ("pause", "reset", "paused"),
        ("flatten", "reset", "paused"),
        ("kill", "reset", "passed over"),
        ("pause", "resume", "passed over"),
    ],
)
def test_a_kill_holds_until_a_reset_and_a_pause_until_it_is_resumed(
    archive: World, tmp_path: Path, first: str, then: str, cause: str
) -> None:
    world = archive.copy(tmp_path / "lake")
    begun, half = START + 3 * HOUR, START + 3 * HOUR + 20 * MINUTE
    events = world.lake.read("live_events", **PLACE, date=BEGIN)
    quiet = next(
        seq
        for seq, ts, body in events.filter(kind="BarClosed")
        .select("seq", pl.col("ts").to_physical(), "body")
        .iter_rows()
        if ts > half and json.loads(body)["decision"] is None
    )
    said = next(s for s, b in events.select("seq", "body").iter_rows() if '"pause"' in b)
    for seq, action, ts in ((said, first, begun), (quiet, then, half)):
        here = pl.col("seq") == seq
        body = json.dumps(event_to_json(Control(ts, action)))  # type: ignore[arg-type]
        events = events.with_columns(
            kind=pl.when(here).then(pl.lit("Control")).otherwise("kind"),
            body=pl.when(here).then(pl.lit(body)).otherwise("body"),
        )
    world.lake.write("live_events", events, code_version="t", **PLACE, date=BEGIN)
    passed = of(reconcile(world.lake, world.strategy, INSTRUMENT, BEGIN), "only_simulated")
    after = passed.filter(pl.col("ts").is_between(half + MINUTE, START + 4 * HOUR))
    assert after["cause"].unique().to_list() == [cause]


# A position that is held over midnight


def held_over_midnight(lake: Lake) -> int:
    """The decision on it."""
    commands = [lake.read("live_commands", **PLACE, date=day) for day in (BEGIN, NEXT)]
    spans = live_trades(pl.concat(commands), Rules.of(INSTRUMENT)).select(
        pl.col("decision_ts", "entry_ts", "exit_ts").to_physical()
    )
    midnight = day_start(NEXT)
    ((decision, _, _),) = spans.filter(
        pl.col("entry_ts") < midnight, pl.col("exit_ts") > midnight
    ).iter_rows()
    return int(decision)


def test_a_position_that_is_held_over_midnight_is_matched_on_the_day_it_was_decided_on(
    found: dict[str, Reconciliation], archive: World
) -> None:
    decision = held_over_midnight(archive.lake)
    matched = of(found["first"], "entry_price", "exit_price", "exit_time", "net_return")
    pair = matched.filter(ts=decision)
    assert pair["kind"].to_list() == ["entry_price", "exit_price", "exit_time", "net_return"]
    assert pair["difference"].to_list()[:3] == [0.0, 0.0, 0.0]
    (leave,) = pair.filter(kind="exit_time").iter_rows(named=True)
    assert decision + leave["live"] * 1e3 > day_start(NEXT)
    # On the next day it is simulated from its decision on, so that what it kept from being entered
    # is not entered there either.
    second = found["second"]
    assert of(second, "only_simulated", "only_live", "exit_reason").is_empty()
    assert of(second, "net_return")["ts"].min() > day_start(NEXT)
    assert second.trades["live"] == second.trades["simulated"] == second.trades["both"] > 0


def test_where_the_archive_lacks_the_day_it_began_on_the_simulation_begins_at_its_end(
    archive: World, tmp_path: Path
) -> None:
    world = archive.copy(tmp_path / "lake")
    rmtree(world.lake.partition("ticks", instrument=NAME, date=BEGIN))
    alone = reconcile(world.lake, world.strategy, INSTRUMENT, NEXT)
    assert of(alone, "only_simulated", "only_live").is_empty()
    assert alone.trades["live"] == alone.trades["both"] > 0


def test_where_the_archive_lacks_the_day_it_ended_on_it_is_still_open_there(
    archive: World, tmp_path: Path
) -> None:
    """And what is made of it is another once that day is there."""
    world = archive.copy(tmp_path / "lake")
    lake, decision = world.lake, held_over_midnight(archive.lake)
    rmtree(lake.partition("ticks", instrument=NAME, date=NEXT))
    early = reconcile(lake, world.strategy, INSTRUMENT, BEGIN)
    (alone,) = of(early, "only_live").iter_rows(named=True)
    assert (alone["ts"], alone["cause"]) == (decision, "still open")
    before = proof_contents(lake, world.strategy, NAME, BEGIN)
    lake.write("ticks", world.of_day(NEXT), code_version="t", instrument=NAME, date=NEXT)
    after = proof_contents(lake, world.strategy, NAME, BEGIN)
    assert set(after) - set(before) == {f"ticks/{NEXT}"}
    assert {f"live_events/{NEXT}", f"live_commands/{NEXT}"} <= set(before)


def test_the_findings_fit_their_table_and_the_summary_counts_them_all(
    found: dict[str, Reconciliation],
) -> None:
    for each in found.values():
        validate(table("reconciliation"), each.findings, "here")
        assert each.findings["ts"].is_sorted()
        assert each.summary["findings"].sum() == each.findings.height
        assert each.summary["count"].sum() == each.findings["count"].sum()


def test_a_day_without_its_archive_is_refused(traded: Traded) -> None:
    world = traded.world
    assert not is_archived(world.lake, world.strategy, NAME, BEGIN)
    with pytest.raises(MissingPartition, match="ticks has no partition"):
        reconcile(world.lake, world.strategy, INSTRUMENT, BEGIN)


def test_a_day_on_which_no_bar_was_closed_is_refused(archive: World, tmp_path: Path) -> None:
    world = archive.copy(tmp_path / "lake")
    steps = world.lake.read("live_steps", **PLACE, date=BEGIN)
    world.lake.write("live_steps", steps.head(0), code_version="t", **PLACE, date=BEGIN)
    with pytest.raises(DataError, match="no bar of 2024-02-29 was closed live"):
        reconcile(world.lake, world.strategy, INSTRUMENT, BEGIN)


def test_what_the_archive_has_is_named_by_its_hashes(archive: World) -> None:
    assert is_archived(archive.lake, archive.strategy, NAME, BEGIN)
    assert list(archived(archive.lake, archive.strategy, NAME, BEGIN)) == [
        f"ticks/{BEGIN}", f"bars/1m/{BEGIN}",
        f"features/core/1m/{BEGIN}", f"features/sentiment/1m/{BEGIN}",
    ]  # fmt: skip


# Trades


def ticks(ids: list[int], seconds: list[float], price: float = 10.0) -> pl.DataFrame:
    ts = [START + round(each * SECOND) for each in seconds]
    return pl.DataFrame(
        {
            "trade_id": ids,
            "ts": pl.Series(ts).cast(TIME),
            "price": [price] * len(ids),
            "qty": [1.0] * len(ids),
            "buyer_maker": [False] * len(ids),
        }
    )


CUTS = [Cut(START + MINUTE, 3, "timer"), Cut(START + 2 * MINUTE, 6, "trade")]


def kinds(trades: list[Deviation]) -> list[tuple[str, int, int]]:
    return [(each.kind, (each.ts - START) // SECOND, each.count) for each in trades]


def test_the_same_trades_leave_nothing_to_report() -> None:
    day = ticks([1, 2, 3, 4, 5, 6], [5, 10, 59, 61, 70, 119])
    compared = compare_trades(day, day, CUTS, MINUTE, (1, 6))
    assert (compared.found, compared.causes) == ([], {})


def test_missed_trades_are_one_finding_for_each_unbroken_run_of_ids() -> None:
    archive = ticks([1, 2, 3, 4, 5, 6], [5, 10, 59, 61, 70, 119])
    live = archive.filter(~pl.col("trade_id").is_in([2, 3, 5]))
    compared = compare_trades(live, archive, CUTS, MINUTE, (1, 6))
    assert kinds(compared.found) == [("missed_trade", 10, 2), ("missed_trade", 70, 1)]
    assert compared.found[0].detail == "trades 2 to 3"
    assert compared.causes == dict.fromkeys((START + MINUTE, START + 2 * MINUTE), "missed_trade")


def test_trades_before_the_first_and_after_the_last_that_can_have_been_seen_are_left_out() -> None:
    archive = ticks([1, 2, 3, 4, 5, 6], [5, 10, 59, 61, 70, 119])
    live = archive.filter(pl.col("trade_id").is_between(2, 4))
    assert compare_trades(live, archive, CUTS, MINUTE, (2, 4)).found == []


def test_trades_that_only_the_daemon_has_or_has_otherwise_are_found() -> None:
    archive = ticks([1, 2, 3], [5, 10, 59])
    live = pl.concat([ticks([1], [5]), ticks([2], [10], price=11.0), ticks([3, 4], [59, 61])])
    compared = compare_trades(live, archive, CUTS, MINUTE, (1, 4))
    assert kinds(compared.found) == [("extra_trade", 61, 1), ("other_trade", 10, 1)]
    assert compared.found[1].detail == "trade 2: price differ"
    assert (compared.found[1].live, compared.found[1].expected) == (11.0, 10.0)


def test_a_trade_that_is_stamped_back_is_late_only_where_it_counts_later_than_in_the_archive() -> (
    None
):
    """The archive counts trade 4 in the bar of trade 3, since ids decide the order."""
    archive = ticks([1, 2, 3, 4], [5, 10, 61, 59])
    cuts = [Cut(START + MINUTE, 2, "trade"), Cut(START + 2 * MINUTE, 4, "timer")]
    assert compare_trades(archive, archive, cuts, MINUTE, (1, 4)).found == []
    cuts = [Cut(START + MINUTE, 1, "timer"), Cut(START + 2 * MINUTE, 4, "timer")]
    compared = compare_trades(archive, archive, cuts, MINUTE, (1, 4))
    assert kinds(compared.found) == [("late_trade", 10, 1)]


# Bars and decisions


def test_bars_that_differ_for_no_known_reason_are_unexplained(archive: World) -> None:
    steps = archive.lake.read("live_steps", **PLACE, date=BEGIN).head(60)
    bars = archive.lake.read("bars", instrument=NAME, interval="1m", date=BEGIN)
    assert compare_bars(steps, bars, {}) == []
    other = bars.with_columns(
        high=pl.when(pl.int_range(pl.len()) == 30).then(pl.col("high") + 1).otherwise("high")
    )
    (found,) = compare_bars(steps, other, {})
    assert (found.kind, found.cause, found.detail) == ("bar", UNEXPLAINED, "high differ")
    (known,) = compare_bars(steps, other, {found.ts: "late_trade"})
    assert known.cause == "late_trade"
    (lost,) = compare_bars(steps.filter(pl.int_range(pl.len()) != 20), bars, {})
    assert (lost.kind, lost.live, lost.expected) == ("no_bar", 0.0, 1.0)


def test_decisions_flip_where_one_side_trades_and_the_other_does_not() -> None:
    def said(*rows: tuple[int, float, bool]) -> pl.DataFrame:
        return pl.DataFrame(
            {
                "ts": pl.Series([START + row[0] * MINUTE for row in rows]).cast(TIME),
                "probability": [row[1] for row in rows],
                "threshold": [0.5] * len(rows),
                "valid": [row[2] for row in rows],
            }
        )

    live = said((1, 0.4, True), (2, 0.6, True), (3, 0.6, False), (4, 0.7, True), (6, 0.2, True))
    other = said((1, 0.41, True), (2, 0.5, True), (3, 0.6, True), (4, 0.7, True), (5, 0.9, True))
    found = compare_decisions(live, other, "features")
    assert [(each.kind, (each.ts - START) // MINUTE) for each in found] == [
        ("decision", 1), ("flip", 2), ("flip", 3), ("event", 5), ("event", 6),
    ]  # fmt: skip


# Fills


def position(
    minute: int, entry: float, leave: float, late: int = 0, **other: object
) -> pl.DataFrame:
    decision = START + minute * MINUTE
    row = {
        "decision_ts": decision, "entry_ts": decision + SECOND + late,
        "entry_price": entry, "exit_ts": decision + 10 * MINUTE + late, "exit_price": leave,
        "qty": 1.0, "exit_reason": "take_profit", "probability": 0.6, "fees": 0.02,
        "slippage": 0.0, "net_pnl": leave - entry - 0.02,
        "net_return": (leave - entry - 0.02) / entry,
    } | other  # fmt: skip
    schema = table("backtest_trades").schema
    physical = {name: pl.Int64 if kind == TIME else kind for name, kind in schema.items()}
    return pl.DataFrame([row], schema=physical).cast(pl.Schema(schema))


NOTHING = Passed([], {})


def test_worse_prices_later_fills_and_higher_fees_are_positive() -> None:
    live = position(1, 100.1, 101.9, late=2 * SECOND, fees=0.03)
    found = {
        each.kind: each for each in compare_fills(live, position(1, 100.0, 102.0), NOTHING, NOTHING)
    }
    assert found["entry_price"].difference == pytest.approx(10.0)
    assert found["exit_price"].difference == pytest.approx(9.8, abs=0.01)
    assert found["entry_time"].difference == found["exit_time"].difference == 2_000.0
    assert (found["entry_time"].live, found["entry_time"].expected) == (3_000.0, 1_000.0)
    assert found["entry_price"].cause == found["exit_price"].cause == "latency"
    assert found["fee"].difference == pytest.approx(0.997, abs=1e-3)
    assert found["net_return"].difference == pytest.approx(20.0, abs=1.0)


def test_another_price_at_the_same_time_is_slippage_and_another_end_says_so() -> None:
    live = position(1, 100.1, 101.0, exit_reason="stop_loss")
    found = {
        each.kind: each for each in compare_fills(live, position(1, 100.0, 102.0), NOTHING, NOTHING)
    }
    assert found["entry_price"].cause == "slippage"
    assert found["entry_time"].cause == ""
    assert found["exit_price"].cause == "exit_reason"
    assert found["exit_reason"].detail == "stop_loss live, take_profit simulated"


def test_positions_of_one_side_say_why_the_other_has_none() -> None:
    live = pl.concat([position(1, 100, 101), position(40, 100, 101)])
    simulated = pl.concat([position(20, 100, 101), position(25, 100, 101), position(60, 100, 101)])
    busy = [(START + 15 * MINUTE, START + 22 * MINUTE)]
    ours = Passed(busy, {START + 60 * MINUTE: "paused"})
    theirs = Passed([], {}, open_since=START + 30 * MINUTE)
    found = compare_fills(live, simulated, ours, theirs)
    assert [(each.kind, (each.ts - START) // MINUTE, each.cause) for each in found] == [
        ("only_live", 1, "passed over"),
        ("only_simulated", 20, "busy"),
        ("only_simulated", 25, "passed over"),
        ("only_live", 40, "still open"),
        ("only_simulated", 60, "paused"),
    ]


def test_the_summary_says_how_many_how_far_on_average_and_at_worst() -> None:
    nan = float("nan")
    rows = findings_table(
        [
            Deviation("fee", START + 2, 1.0, 0.0, 1.0, "bps"),
            Deviation("fee", START, 1.0, 4.0, -3.0, "bps", count=4),
            Deviation("exit_reason", START + 1, nan, nan, nan, ""),
        ]
    )
    assert rows["ts"].to_physical().to_list() == [START, START + 1, START + 2]
    assert summary(rows).rows() == [
        ("exit_reason", "", 1, 1, None, None, ""),
        ("fee", "", 2, 5, -1.0, -3.0, "bps"),
    ]
