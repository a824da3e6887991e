"""Real markets through the real commands: from a file to the gate's decision.

What is asserted is structure and honesty, whatever the market was like: bars are the published
ones, every prediction was made by a model that had not seen its week, nothing is learned or decided
near an outage, and the gate says why.
"""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from vostok_core.lake.store import Lake
from vostok_core.models.bundle_folder import load_bundle
from vostok_core.models.registry import bundle_path, promotion
from vostok_core.project import Project, find_project
from vostok_core.times import HOUR, MINUTE, WEEK, day_start
from vostok_core.times import weeks as each_week
from vostok_pipelines.launch import environment

pytestmark = pytest.mark.shared_data

ROOT = Path(__file__).resolve().parents[2]
XRP, EOS, BTC = "binance.spot.XRP-ETH", "kraken.spot.EOS-USD", "bitfinex.spot.BTC-USD"
RULES = [
    "complete_days",
    "never_halted",
    "min_days",
    "min_trades",
    "min_track_record",
    "psr_flat",
    "psr_buy_and_hold",
    "max_drawdown",
    "cost_stress",
    "bundle_integrity",
]
WARMUP = 2880 * MINUTE
"""What the slowest feature of the pack `core` waits for."""


def vostok(lake: Path, *arguments: object, expect: tuple[int, ...] = (0,)) -> str:
    """Call the command line on this project and a lake of the test's own."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("VOSTOK_", "DAGSTER_"))}
    done = subprocess.run(
        [sys.executable, "-m", "vostok", "--lake", str(lake), *map(str, arguments)],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in expect, done.stdout + done.stderr
    return done.stdout + done.stderr


def project_of(lake: Path) -> Project:
    return find_project(ROOT, {}, lake)


def table_of(lake: Lake, name: str, **keys: Any) -> pl.DataFrame:
    """All days of a table."""
    return pl.concat(lake.read(name, **keys, date=day) for day in lake.days(name, **keys))


def us(frame: pl.DataFrame, column: str) -> pl.Series:
    return frame[column].to_physical()


# --- two days of Binance ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def xrp(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("xrp") / "lake"
    folder = shared / "ticks" / "binance_aggtrades"
    vostok(root, "ingest", folder, "--instrument", XRP, "--format", "binance-aggtrades")
    return root


def test_two_days_of_binance_trades_make_exactly_the_published_minutes(
    xrp: Path, shared: Path
) -> None:
    bars = table_of(Lake.open(xrp), "bars", instrument=XRP, interval="1m")
    traded = bars.filter(pl.col("trades") > 0).select(
        (pl.col("ts").to_physical() // 1000 - 60_000).alias("open_time_ms"),
        "open",
        "high",
        "low",
        "close",
        "volume",
    )
    golden = pl.read_csv(shared / "bars" / "freqtrade" / "XRP_ETH-1m-first-two-days.csv")
    assert traded.equals(golden)
    # Minutes without a trade are absent there, and here: nothing at the last price.
    assert bars.height == 2 * 1440
    silent = bars.with_columns(before=pl.col("close").shift()).filter(pl.col("trades") == 0)
    assert silent.height == 2 * 1440 - golden.height
    for column in ("open", "high", "low", "close"):
        assert silent[column].equals(silent["before"], check_names=False)
    assert bars["valid"].all()


def test_every_stage_of_the_two_days_is_there_and_sql_shows_it(xrp: Path) -> None:
    lake = Lake.open(xrp)
    days = [date(2019, 10, 11), date(2019, 10, 12)]
    features = {"pack": "core", "instrument": XRP, "interval": "1m"}
    assert lake.days("features", **features) == days
    assert lake.days("quality", instrument=XRP) == days
    assert table_of(lake, "quality", instrument=XRP).is_empty()
    ticks = table_of(lake, "ticks", instrument=XRP)
    assert ticks["trade_id"].diff().drop_nulls().unique().to_list() == [1]
    shown = vostok(xrp, "sql", "SELECT sum(trades), count(*) FROM bars", "--format", "csv")
    beneath = (ticks["last_id"] - ticks["first_id"] + 1).sum()
    assert shown.splitlines()[1].split(",")[1] == "2880"
    assert float(shown.splitlines()[1].split(",")[0]) in (ticks.height, beneath)


def test_dagsters_own_command_makes_the_same_partitions_in_the_same_lake(xrp: Path) -> None:
    lake = Lake.open(xrp)
    day = date(2019, 10, 12)
    before = [
        lake.info("bars", instrument=XRP, interval="1m", date=day),
        lake.info("features", pack="core", instrument=XRP, interval="1m", date=day),
    ]
    stamps = [info.path.stat().st_mtime_ns for info in before]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "dagster", "asset", "materialize"),
            *("-m", "vostok_pipelines.definitions", "-a", "defs"),
            *("--select", 'bars,key:"features/core"'),
            *("--partition-range", f"2019-10-11|{XRP}...2019-10-12|{XRP}"),
        ],
        cwd=ROOT,
        env=environment(project_of(xrp)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    after = [
        lake.info("bars", instrument=XRP, interval="1m", date=day),
        lake.info("features", pack="core", instrument=XRP, interval="1m", date=day),
    ]
    assert after == before
    assert all(i.path.stat().st_mtime_ns > t for i, t in zip(after, stamps, strict=True))


@pytest.mark.long
def test_the_published_minutes_land_beside_the_trades_and_agree_with_the_bars(
    xrp: Path, shared: Path
) -> None:
    lake = Lake.open(xrp)
    before = table_of(lake, "bars", instrument=XRP, interval="1m")
    said = vostok(
        *(xrp, "ingest", shared / "bars" / "freqtrade" / "XRP_ETH-1m-first-two-days.csv"),
        *("--instrument", XRP, "--format", "csv", "--kind", "klines"),
        *("--columns", "ts=open_time_ms"),
    )
    assert "2019-10-11: the bars of 1022 minutes are those klines" in said
    assert "2019-10-12: the bars of 973 minutes are those klines" in said
    assert table_of(lake, "klines", instrument=XRP, interval="1m").height == 1_995
    assert table_of(lake, "bars", instrument=XRP, interval="1m").equals(before)
    assert table_of(lake, "quality", instrument=XRP).is_empty()


def test_a_strategy_walks_only_what_its_file_names(xrp: Path) -> None:
    said = vostok(
        *(xrp, "walk-forward", "eos_flow", "--instrument", XRP),
        *("--from", "2019-10-07", "--to", "2019-10-07"),
        expect=(2,),
    )
    assert f"eos_flow doesn't trade {XRP}" in said


# --- walked strategies --------------------------------------------------------------------------


def check_walk(root: Path, strategy: str, instrument: str, first: date, last: date) -> None:
    """What must hold of any walk-forward, by what the lake holds."""
    project = project_of(root)
    lake = project.open_lake()
    rule = project.strategy(strategy)
    place = {"strategy": strategy, "instrument": instrument}
    bars = table_of(lake, "bars", instrument=instrument, interval="1m")
    broken = us(bars.filter(~pl.col("valid")), "ts").sort()
    decided = last + timedelta(weeks=1)

    walked = list(each_week(first, last))
    assert lake.keys("predictions", **place) == [str(week) for week in walked]
    predictions = []
    for week in walked:
        rows = lake.read("predictions", **place, week=week)
        bundle = load_bundle(bundle_path(lake, strategy, instrument, week))
        span = bundle.manifest.training
        assert span.first_ts < span.last_label_end < day_start(week) - rule.deployment_lag_us
        assert us(rows, "ts").is_between(day_start(week), day_start(week) + WEEK - 1).all()
        assert rows["model"].unique().to_list() in ([], [bundle.sha256])
        predictions.append(rows)
    path = pl.concat(predictions)

    near = [((broken > ts - WARMUP) & (broken <= ts)).any() for ts in us(path, "ts")]
    assert not (path["valid"] & pl.Series(near)).any()
    trades = lake.read("backtest_trades", **place, week=decided)
    wanted = path.filter("valid", pl.col("probability") > pl.col("threshold"))["ts"]
    assert trades["decision_ts"].is_in(wanted.implode()).all()
    assert (trades["entry_ts"] > trades["decision_ts"]).all()
    turns = [at for row in trades.select("entry_ts", "exit_ts").rows() for at in row]
    assert turns == sorted(turns)  # one position at a time

    decision = lake.read("promotions", **place, week=decided)
    assert decision["rule"].to_list() == RULES
    assert decision["reason"].str.len_chars().min() > 20
    earned = (decision["verdict"] == "pass").all()
    assert decision["decision"].unique().to_list() == ["promoted" if earned else "refused"]
    assert (promotion(lake, strategy, instrument) is not None) == earned
    daily = lake.read("trials", **place, configuration=decision["configuration"][0])
    assert daily["date"].to_list() == [
        first + timedelta(days=i) for i in range((decided - first).days)
    ]
    page = (root / "reports" / strategy / instrument / f"{decided}.html").read_text()
    halts = lake.read("backtest_halts", **place, week=decided)
    assert ("The engine halted on" in page) == (halts.height > 0)
    assert decision["value"][RULES.index("never_halted")] == halts.height


def walk(root: Path, strategy: str, instrument: str, first: str, last: str) -> None:
    """Walk, by the command; a decision is no failure, whichever it is."""
    said = vostok(
        *(root, "walk-forward", strategy, "--instrument", instrument),
        *("--from", first, "--to", last),
        expect=(0, 3),
    )
    assert f"{strategy} on {instrument}: " in said
    assert all(rule in said for rule in RULES)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_month_of_kraken_trades_with_outages_is_walked_to_a_decision(
    shared: Path, tmp_path: Path
) -> None:
    root = tmp_path / "lake"
    said = vostok(
        *(root, "ingest", shared / "ticks" / "kraken_2018" / "EOSUSD-trades.csv"),
        *("--instrument", EOS, "--format", "kraken-trades"),
    )
    assert "no trade ids: they are assigned by time and file order" in said
    lake = Lake.open(root)
    ticks = table_of(lake, "ticks", instrument=EOS)
    assert ticks.height == 70_327
    assert (ticks["trade_id"].diff().drop_nulls() > 0).all()
    assert us(ticks, "ts").is_sorted()

    bars = table_of(lake, "bars", instrument=EOS, interval="1m")
    broken = bars.filter(~pl.col("valid"))
    seen = us(ticks, "ts")
    silent = seen.filter(seen.diff().fill_null(0) > 2 * HOUR)
    ends = silent.to_list()
    starts = [seen.filter(seen < end)[-1] for end in ends]
    assert len(ends) == 3
    for start, end in zip(starts, ends, strict=True):
        # An outage shows when it has lasted for two hours; until then nobody could know.
        known = start + 2 * HOUR
        inside = bars.filter(pl.col("ts").to_physical() > known, pl.col("ts").to_physical() <= end)
        assert inside.height > 0
        assert not inside["valid"].any()
    fine = bars.filter(pl.col("ts").to_physical() > ends[-1] + MINUTE)
    assert fine["valid"].all()
    assert fine.height > 15 * 1440
    assert us(broken, "ts")[-1] < ends[-1] + MINUTE

    walk(root, "eos_flow", EOS, "2018-05-14", "2018-05-28")
    check_walk(root, "eos_flow", EOS, date(2018, 5, 14), date(2018, 5, 28))
    said = vostok(
        *(root, "walk-forward", "eos_flow", "--instrument", EOS),
        *("--from", "2018-06-04", "--to", "2018-06-04"),
        expect=(1,),
    )
    assert "the week 2018-06-04 of kraken.spot.EOS-USD is not over" in said


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_two_years_of_bitcoin_minutes_are_walked_to_a_decision(
    shared: Path, tmp_path: Path
) -> None:
    root = tmp_path / "lake"
    files = [shared / "bars" / "bitfinex_1m" / "BTCUSD" / f"{y}.parquet" for y in (2017, 2018)]
    vostok(
        *(root, "ingest", *files, "--instrument", BTC),
        *("--format", "parquet", "--columns", "ts=ts_ms"),
    )
    bars = table_of(Lake.open(root), "bars", instrument=BTC, interval="1m")
    published = pl.concat(pl.read_parquet(file) for file in files).sort("ts_ms")
    prices = ("open", "high", "low", "close", "volume")
    found = bars.with_columns(ts_ms=pl.col("ts").to_physical() // 1000 - 60_000).join(
        published.select("ts_ms"), on="ts_ms", how="semi"
    )
    assert found.select("ts_ms", *prices).equals(published.select("ts_ms", *prices))
    assert bars.height == 730 * 1440
    for unknown in ("trades", "buy_volume", "size_entropy", "side_changes"):
        assert bars[unknown].is_nan().all()

    walk(root, "minute_trend", BTC, "2017-07-10", "2018-12-24")
    check_walk(root, "minute_trend", BTC, date(2017, 7, 10), date(2018, 12, 24))
