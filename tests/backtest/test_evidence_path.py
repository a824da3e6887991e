"""Evidence is gathered from the lake: which weeks, which days, and what is refused."""

from __future__ import annotations

from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest

from vostok_core.backtest.path import evidence_path
from vostok_core.backtest.simulator import simulate
from vostok_core.backtest.venue import Costs
from vostok_core.errors import MissingPartition, StalePartition
from vostok_core.lake.store import Lake
from vostok_core.lake.tables import TIME, table
from vostok_core.market.days import CODE_VERSION
from vostok_core.market.instrument import Instrument, InstrumentId
from vostok_core.market.paths import bar_path, tick_path
from vostok_core.promotion.gate import Decision, Evidence, judge
from vostok_core.settings import GateProfile
from vostok_core.strategy import Strategy, StrategyFile
from vostok_core.times import DAY, MINUTE, day_start
from vostok_core.trading.config import EngineConfig
from vostok_pipelines.evidence import read_backtest, write_backtest

FIRST = date(2024, 1, 1)
WEEK = timedelta(days=7)
NAME = "binance.spot.ETH-USDT"


def instrument(tick: Any = "trade") -> Instrument:
    return Instrument(
        InstrumentId.parse(NAME), tick, Decimal("0.01"), Decimal("0.001"), Decimal(10), DAY
    )


STRATEGY = Strategy(
    "s",
    StrategyFile.model_validate(
        {"description": "d", "instruments": [NAME], "interval": "1h", "labels": {"horizon": "6h"}}
    ),
)


OUTAGE = (FIRST + timedelta(days=4), FIRST + timedelta(days=5))


def day_frames(day: date, crash: date | None = None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A day of prints and their hourly bars; on the day of a crash prices fall by half at 09:30."""
    start = day_start(day)
    rng = np.random.default_rng(start // DAY)
    count = 24 * 60
    price = np.round(100 + np.cumsum(rng.standard_normal(count) * 0.1), 2)
    if day == crash:
        price[570:] = np.round(price[570:] / 2, 2)
    ticks = pl.DataFrame(
        {
            "trade_id": start // MINUTE + np.arange(count),
            "ts": start + np.arange(count) * MINUTE + 1,
            "price": price,
            "qty": np.ones(count),
            "buyer_maker": rng.random(count) < 0.5,
            "first_id": None,
            "last_id": None,
        },
        schema_overrides={"first_id": pl.Int64, "last_id": pl.Int64},
    ).with_columns(pl.col("ts").cast(TIME))
    hours = price.reshape(24, 60)
    nothing = np.full(24, np.nan)
    bars = pl.DataFrame(
        {
            "ts": start + (np.arange(24) + 1) * 60 * MINUTE,
            "open": hours[:, 0],
            "high": hours.max(axis=1),
            "low": hours.min(axis=1),
            "close": hours[:, -1],
            "volume": np.ones(24),
            **{
                name: nothing
                for name, dtype in table("bars").schema.items()
                if dtype == pl.Float64 and name not in {"open", "high", "low", "close", "volume"}
            },
            "first_trade_id": None,
            "last_trade_id": None,
            "valid": [True] * 24,
            "kind": ["time"] * 24,
            "source": ["ticks"] * 24,
        },
        schema_overrides={"first_trade_id": pl.Int64, "last_trade_id": pl.Int64},
    ).with_columns(pl.col("ts").cast(TIME))
    return ticks, bars


def predictions(week: date) -> pl.DataFrame:
    """A decision every eight hours from the week's Monday 00:00 on."""
    ts = day_start(week) + np.arange(21) * 8 * 60 * MINUTE
    closes = pl.concat(
        day_frames(week - timedelta(days=1) + timedelta(days=d))[1] for d in range(8)
    )
    return (
        pl.DataFrame({"ts": ts})
        .with_columns(pl.col("ts").cast(TIME))
        .join(closes.select("ts", reference="close"), on="ts", how="left")
        .select(
            "ts",
            score=pl.lit(0.0),
            probability=pl.lit(0.9),
            threshold=pl.lit(0.5),
            sigma=pl.lit(0.01),
            reference="reference",
            valid=pl.lit(value=True),
            model=pl.lit("m"),
        )
    )


def fill(
    lake: Lake,
    *,
    weeks: list[int],
    days: int = 21,
    crash: date | None = None,
    outage: tuple[date, ...] = (),
) -> None:
    """Days of a market; in an outage bars are not valid from two in the morning on."""
    for offset in range(days):
        day = FIRST + timedelta(days=offset)
        ticks, bars = day_frames(day, crash)
        if day in outage:
            bars = bars.with_columns(valid=pl.col("ts") <= pl.col("ts").min() + timedelta(hours=1))
        lake.write("ticks", ticks, code_version=CODE_VERSION, instrument=NAME, date=day)
        lake.write(
            "bars", bars, code_version=CODE_VERSION, instrument=NAME, interval="1h", date=day
        )
    for number in weeks:
        predict(lake, number)


def predict(lake: Lake, number: int, configuration: str = "c") -> None:
    week = FIRST + number * WEEK
    lake.write(
        "predictions",
        predictions(week),
        code_version=configuration,
        strategy="s",
        instrument=NAME,
        week=week,
    )


@pytest.mark.parametrize("tick", ["trade", "none"])
def test_the_path_is_all_weeks_before_and_nothing_of_the_week_itself(lake: Lake, tick: str) -> None:
    fill(lake, weeks=[0, 1, 2])
    result, inputs = evidence_path(lake, STRATEGY, instrument(tick), FIRST + 2 * WEEK, "c")
    days = [FIRST + timedelta(days=d) for d in range(14)]
    ticks = pl.concat(day_frames(d)[0] for d in days)
    bars = pl.concat(day_frames(d)[1] for d in days)
    expected = simulate(
        EngineConfig.from_strategy(STRATEGY),
        instrument(tick),
        pl.concat([predictions(FIRST), predictions(FIRST + WEEK)]),
        bars,
        tick_path(ticks) if tick == "trade" else bar_path(bars, STRATEGY.interval_us),
        Costs.of(STRATEGY),
        interval_us=STRATEGY.interval_us,
    )
    assert result.trades.equals(expected.trades)
    assert result.daily.equals(expected.daily)
    assert result.trades.height > 10
    assert result.daily["date"].to_list() == days
    assert result.counts["decisions"] == 42
    read = {key.split("/")[0] for key in inputs}
    assert read == (
        {"predictions", "bars", "ticks"} if tick == "trade" else {"predictions", "bars"}
    )
    assert len([k for k in inputs if k.startswith("bars/")]) == 14
    assert sorted(k for k in inputs if k.startswith("predictions/")) == [
        "predictions/2024-01-01",
        "predictions/2024-01-08",
    ]


def test_later_data_in_the_lake_changes_nothing(lake: Lake) -> None:
    fill(lake, weeks=[0], days=7)
    before = evidence_path(lake, STRATEGY, instrument(), FIRST + WEEK, "c")
    fill(lake, weeks=[0, 1, 2])
    after = evidence_path(lake, STRATEGY, instrument(), FIRST + WEEK, "c")
    assert after[0].fills.equals(before[0].fills)
    assert after[0].equity.equals(before[0].equity)
    assert after[1] == before[1]


def test_bars_that_are_not_those_of_their_ticks_are_not_traded_on(lake: Lake) -> None:
    fill(lake, weeks=[0], days=7)
    place = {"instrument": NAME, "interval": "1h", "date": FIRST}
    bars = lake.read("bars", **place)
    lake.write("bars", bars, code_version=CODE_VERSION, inputs={f"ticks/{FIRST}": "0"}, **place)
    with pytest.raises(StalePartition, match=f"ticks/{FIRST} has changed"):
        evidence_path(lake, STRATEGY, instrument(), FIRST + WEEK, "c")


@pytest.mark.parametrize("name", ["bars", "ticks"])
def test_a_path_on_prices_that_were_made_anew_since_is_not_judged(lake: Lake, name: str) -> None:
    fill(lake, weeks=[0, 1, 2])
    judged(lake)
    place = {"instrument": NAME, "date": FIRST}
    place |= {"interval": "1h"} if name == "bars" else {}
    frame = lake.read(name, **place)
    column = "volume" if name == "bars" else "qty"
    changed = frame.with_columns(pl.col(column) + 1.0)
    lake.write(name, changed, code_version=CODE_VERSION, **place)
    with pytest.raises(StalePartition, match=f"before {name}/{FIRST} was written as it is now"):
        read_backtest(lake, STRATEGY, instrument(), FIRST + 2 * WEEK, "c")


def test_no_predictions_before_the_week_is_said_with_a_remedy(lake: Lake) -> None:
    fill(lake, weeks=[1], days=1)
    with pytest.raises(MissingPartition, match=r"no predictions.*walk-forward s"):
        evidence_path(lake, STRATEGY, instrument(), FIRST + WEEK, "c")


@pytest.mark.parametrize("weeks", [[0, 2], [0, 1]])
def test_a_hole_in_the_weeks_is_refused(lake: Lake, weeks: list[int]) -> None:
    fill(lake, weeks=weeks, days=1)
    with pytest.raises(MissingPartition, match=r"hole: 2024-01-(08|15)"):
        evidence_path(lake, STRATEGY, instrument(), FIRST + 3 * WEEK, "c")


def test_weeks_of_different_configurations_are_not_one_path(lake: Lake) -> None:
    fill(lake, weeks=[0, 1], days=14)
    predict(lake, 0, configuration="older")
    with pytest.raises(StalePartition, match=r"another configuration.*2024-01-01"):
        evidence_path(lake, STRATEGY, instrument(), FIRST + 2 * WEEK, "c")


def test_a_missing_day_of_ticks_is_named(lake: Lake) -> None:
    fill(lake, weeks=[0], days=6)
    with pytest.raises(MissingPartition, match=r"date=2024-01-07"):
        evidence_path(lake, STRATEGY, instrument(), FIRST + WEEK, "c")


def judged(lake: Lake) -> tuple[Decision, dict[str, pl.DataFrame]]:
    """What the gate says of two weeks, by the tables of their backtest."""
    week = FIRST + 2 * WEEK
    write_backtest(lake, STRATEGY, instrument(), week, "c")
    found, hashes = read_backtest(lake, STRATEGY, instrument(), week, "c")
    assert set(hashes) == set(found)
    evidence = Evidence(
        daily=found["backtest_daily"],
        trades=found["backtest_trades"],
        halts=found["backtest_halts"],
        trial_returns={("s", "c"): found["backtest_daily"]},
        bundle_checks={"hashes": True},
        equity=found["backtest_equity"],
    )
    return judge(evidence, GateProfile()), found


def test_a_path_that_runs_into_the_kill_switch_is_refused_for_that(lake: Lake) -> None:
    crash = FIRST + timedelta(days=3)
    fill(lake, weeks=[0, 1], crash=crash)
    decision, found = judged(lake)
    (halt,) = found["backtest_halts"].iter_rows(named=True)
    # The stop sells everything far below its price, at the first seller's print after 09:30.
    crashed = day_frames(crash, crash)[0].filter(pl.col("ts").dt.time() >= time(9, 30))
    first_seller = crashed.slice(1).filter("buyer_maker")["ts"][0]
    assert halt == {"ts": first_seller, "reason": "kill switch: daily loss"}
    after = found["backtest_daily"].filter(pl.col("date") > crash)
    assert after["net_return"].to_list() == [0.0] * 10
    (rule,) = [rule for rule in decision.failed if rule.name == "never_halted"]
    assert rule.value == 1
    assert f"on 2024-01-04 at {halt['ts']:%H:%M} UTC (kill switch: daily loss)" in rule.reason


def test_a_path_that_is_traded_to_its_end_was_never_halted(lake: Lake) -> None:
    fill(lake, weeks=[0, 1])
    decision, found = judged(lake)
    assert found["backtest_halts"].is_empty()
    (rule,) = [rule for rule in decision.rules if rule.name == "never_halted"]
    assert (rule.value, rule.verdict) == (0, "pass")


def test_days_of_an_outage_are_no_evidence(lake: Lake) -> None:
    fill(lake, weeks=[0, 1], outage=OUTAGE)
    decision, found = judged(lake)
    daily = found["backtest_daily"]
    assert daily.height == 14  # the path has them, and the gate does not
    unseen = daily.filter(pl.col("observed") < 1.0)
    assert unseen["date"].to_list() == list(OUTAGE)
    assert unseen["observed"].to_list() == [2 / 24] * 2
    rules = {rule.name: rule for rule in decision.rules}
    assert rules["complete_days"].value == pytest.approx(12 / 14)
    assert rules["complete_days"].verdict == "fail"
    assert "12 of the 14 days from first to last were observed" in rules["complete_days"].reason
    assert "Of 2 days less than 50 % of the bars are valid" in rules["complete_days"].reason
    assert rules["min_days"].value == rules["min_track_record"].value == 12
    (logged,) = lake.keys("trials", strategy="s", instrument=NAME)
    place = {"strategy": "s", "instrument": NAME, "configuration": logged}
    assert lake.read("trials", **place).equals(daily)
    (count,) = found["backtest_statistics"].filter(name="observed_days")["value"]
    assert count == 12


def test_a_path_without_an_outage_is_complete(lake: Lake) -> None:
    fill(lake, weeks=[0, 1])
    decision, _ = judged(lake)
    (rule,) = [rule for rule in decision.rules if rule.name == "complete_days"]
    assert (rule.value, rule.verdict) == (1.0, "pass")
